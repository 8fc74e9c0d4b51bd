// The terminal of clinux_terminal.h. Signal handlers here call only what signal-safety(7) allows.

#define _GNU_SOURCE
#include "clinux_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

static struct termios given;
static struct termios held;
static int input_fd;
static int display_fd;
static int notices_fd;
static int wants_brackets;
static volatile sig_atomic_t is_held;

static const int fatal_signals[] = {SIGHUP, SIGTERM, SIGQUIT, SIGABRT, SIGSEGV,
                                    SIGBUS, SIGILL,  SIGTRAP, SIGFPE};
enum { FATAL_COUNT = sizeof fatal_signals / sizeof fatal_signals[0] };
static struct sigaction fatal_given[FATAL_COUNT];
static struct sigaction stop_given, continue_given, resize_given;

static void say(int fd, const char *text, size_t length) {
    ssize_t ignored = write(fd, text, length);
    (void)ignored;
}

/// The terminal is another's while the process is in the background.
static int is_foreground(void) { return tcgetpgrp(input_fd) == getpgrp(); }

static void apply(const struct termios *mode, int brackets) {
    if (!is_foreground()) return;
    tcsetattr(input_fd, TCSADRAIN, mode);
    if (wants_brackets) say(display_fd, brackets ? "\033[?2004h" : "\033[?2004l", 8);
}

static void on_fatal(int number) {
    if (is_held) apply(&given, 0);
    is_held = 0;
    // SA_RESETHAND has made this what it was before anybody handled it.
    raise(number);
}

static void catch_stop(void);

static void on_stop(int number) {
    int saved = errno;
    if (is_held) apply(&given, 0);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(number, &standard, NULL);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);
    raise(number);
    // Here it goes on; SIGCONT's handler has taken the terminal again.
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_held) catch_stop();
    errno = saved;
}

static void on_continue(int number) {
    (void)number;
    int saved = errno;
    if (is_held) apply(&held, 1);
    say(notices_fd, (char[]){CLINUX_TERMINAL_CONTINUED}, 1);
    errno = saved;
}

static void on_resize(int number) {
    (void)number;
    int saved = errno;
    say(notices_fd, (char[]){CLINUX_TERMINAL_RESIZED}, 1);
    errno = saved;
}

static void catch_with(int number, void (*handler)(int), int flags, struct sigaction *before) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, before);
}

static void catch_stop(void) { catch_with(SIGTSTP, on_stop, SA_RESTART, NULL); }

static void catch_all(void) {
    for (int i = 0; i < FATAL_COUNT; i++)
        catch_with(fatal_signals[i], on_fatal, SA_RESETHAND | SA_NODEFER, &fatal_given[i]);
    catch_with(SIGTSTP, on_stop, SA_RESTART, &stop_given);
    catch_with(SIGCONT, on_continue, SA_RESTART, &continue_given);
    catch_with(SIGWINCH, on_resize, SA_RESTART, &resize_given);
}

static void catch_none(void) {
    for (int i = 0; i < FATAL_COUNT; i++) sigaction(fatal_signals[i], &fatal_given[i], NULL);
    sigaction(SIGTSTP, &stop_given, NULL);
    sigaction(SIGCONT, &continue_given, NULL);
    sigaction(SIGWINCH, &resize_given, NULL);
}

int clinux_terminal_hold(int input, int display, int brackets, int *notices) {
    static int ends_with_process;
    int ends[2];
    if (tcgetattr(input, &given) != 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
    *notices = ends[0];
    held = given;
    held.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
    held.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN | ISIG);
    held.c_cc[VMIN] = 1;
    held.c_cc[VTIME] = 0;
    input_fd = input;
    display_fd = display;
    notices_fd = ends[1];
    wants_brackets = brackets;
    if (!ends_with_process) ends_with_process = atexit(clinux_terminal_release) == 0;
    is_held = 1;
    catch_all();
    apply(&held, 1);
    return 0;
}

void clinux_terminal_signals(int are_signals) {
    if (!is_held) return;
    if (are_signals)
        held.c_lflag |= ISIG;
    else
        held.c_lflag &= ~(tcflag_t)ISIG;
    if (is_foreground()) tcsetattr(input_fd, TCSADRAIN, &held);
}

void clinux_terminal_release(void) {
    if (!is_held) return;
    apply(&given, 0);
    is_held = 0;
    catch_none();
    close(notices_fd);
}

int clinux_scalar_columns(unsigned scalar) {
    // The standard's own locale knows ASCII alone.
    static locale_t locale;
    if (!locale) locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!locale) return scalar < 0x20 || scalar == 0x7F ? -1 : 1;
    locale_t before = uselocale(locale);
    int columns = wcwidth((wchar_t)scalar);
    uselocale(before);
    return columns;
}
