// A terminal in a mode of our own, given back however the process ends, stops or crashes. One
// terminal at a time.
#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H

/// What a notice says, a byte each.
enum {
    /// The window has another size (SIGWINCH).
    CLINUX_TERMINAL_RESIZED = 'R',
    /// The process was stopped and goes on (SIGCONT).
    CLINUX_TERMINAL_CONTINUED = 'C',
};

/// Takes the terminal `input`: no echo, no lines, so that nothing is cut; output is processed as
/// before. Where `brackets` is not 0, pasted text is asked to come in brackets, through `display`.
/// Notices come from `notices`, which does not block and is the caller's to close afterwards.
/// Returns 0 or an errno value.
int clinux_terminal_hold(int input, int display, int brackets, int *notices);

/// Whether Ctrl-C, Ctrl-Z and Ctrl-\ are signals or bytes. They are bytes at first.
void clinux_terminal_signals(int are_signals);

/// Gives the terminal back as it was. Nothing if it is not held.
void clinux_terminal_release(void);

/// The terminal columns that a Unicode scalar takes (wcwidth(3)); 0 for what joins the one before;
/// -1 for what cannot be printed.
int clinux_scalar_columns(unsigned scalar);

#endif
