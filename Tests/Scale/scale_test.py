#!/usr/bin/env python3
"""Several daemons behind one address, one of which is lost: docs/SCALE.md's configurations.

    scale_test.py PROGRAMS MODEL.gguf

PROGRAMS is the folder with sluiced and sluice. Makes three network namespaces with a daemon and a
bridge from TCP each (systemd-socket-activate, systemd-socket-proxyd), and asks them through HAProxy
(deploy/haproxy.cfg) and LiteLLM's router (deploy/litellm.yaml); checks deploy/kubernetes.yaml
against Kubernetes' schemas. Needs iproute2, util-linux, systemd's programs and haproxy, and the
right to make namespaces: without them it says so and ends with 0. What needs the Python packages
litellm or kubernetes-validate is left out without them. Touches nothing outside its own namespace.
"""
import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXYD = "/usr/lib/systemd/systemd-socket-proxyd"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
NAMES = ("one", "two", "three")
failures = 0


def check(name, passed, detail=""):
    """Prints a line, and counts it where it failed."""
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{'' if passed else f': {detail}'}", flush=True)


def run(*words):
    subprocess.run(words, check=True)


def missing():
    """What is not here of what it takes; nothing when all is."""
    programs = ["ip", "nsenter", "unshare", "haproxy", "systemd-socket-activate"]
    lacking = [name for name in programs if not shutil.which(name)]
    if not os.path.exists(PROXYD):
        lacking.append(PROXYD)
    if not lacking and subprocess.run(unshare() + ["true"], **QUIET).returncode:
        lacking.append("the right to make network namespaces")
    return lacking


def unshare():
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]


class Machine:
    """A network namespace with a daemon and its bridge."""

    def __init__(self, number, programs, folder):
        self.name, self.address = NAMES[number], f"10.77.0.{11 + number}"
        self.programs, self.library = programs, folder + "/library"
        self.socket = f"{folder}/{self.name}.sock"
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        pid, pair = str(self.holder.pid), "to-" + self.name
        run("ip", "link", "add", pair, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "link", "set", pair, "master", "net", "up")
        self.inside("ip", "addr", "add", self.address + "/24", "dev", "eth0").wait()
        self.inside("ip", "link", "set", "eth0", "up").wait()
        self.bridge = self.inside(
            "systemd-socket-activate", "-l", self.address + ":8080", PROXYD, self.socket)
        self.start()

    def inside(self, *words):
        return subprocess.Popen(["nsenter", "-t", str(self.holder.pid), "-n", *words], **QUIET)

    def start(self):
        self.daemon = subprocess.Popen(
            [self.programs + "/sluiced", "--memory", "60M", "--library", self.library,
             "--socket", self.socket], **QUIET)

    def end(self, how):
        self.daemon.send_signal(how)
        return self.daemon.wait()

    def close(self):
        for process in (self.daemon, self.bridge, self.holder):
            process.kill()
            process.wait()


def ask(system, text="What is a shell?", tokens=8, **more):
    """Status, machine, answer, and headers of one chat through HAProxy."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    body = {
        "messages": [
            {"role": "system", "content": system}, {"role": "user", "content": text}],
        "max_tokens": tokens, "temperature": 0, "ignore_eos": True} | more
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    answer = content.decode() if more.get("stream") else json.loads(content or b"{}")
    return response.status, response.headers["X-Sluice-Machine"], answer


def system_prompt(number):
    return f"You are assistant {number}. " + "Answer briefly and say what you know. " * 12


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def ready(count):
    """Waits until so many machines take requests."""
    for _ in range(200):
        seen = set()
        for number in range(24):
            try:
                status, machine, _ = ask(f"ready? {number}", tokens=1)
            except OSError:
                break
            if status == 200:
                seen.add(machine)
        if len(seen) >= count:
            return True
        time.sleep(0.2)
    return False


def check_spreading():
    check("all three machines answer", ready(3))
    for number in range(3):
        answers = [ask(system_prompt(number)) for _ in range(4)]
        check(
            f"conversations that begin alike stay together ({number})",
            len({machine for _, machine, _ in answers}) == 1, [a[1] for a in answers])
        check(
            f"and find their beginning in the prefix cache ({number})",
            all(cached(answer) >= 64 for _, _, answer in answers[1:]),
            [cached(a[2]) for a in answers])


def check_losing(machines):
    """kill -9 of a machine's daemon in the middle: nobody who waits notices."""
    lost = machines[0]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, f"loss {number}") for number in range(60)]
        time.sleep(0.3)
        lost.end(signal.SIGKILL)
        answers = [one.result() for one in asked]
    statuses = sorted({status for status, _, _ in answers})
    check("a machine is lost: every request is answered", statuses == [200], statuses)
    lost.start()
    check("it comes back", ready(3))


def check_draining(machines):
    """SIGTERM while a machine streams: the stream ends whole, others answer."""
    by_name = {machine.name: machine for machine in machines}
    _, name, _ = ask("drained")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        stream = pool.submit(ask, "drained", tokens=300, stream=True)
        time.sleep(0.2)
        leaving = by_name[name]
        leaving.daemon.send_signal(signal.SIGTERM)
        answers = [pool.submit(ask, f"drain {number}").result() for number in range(20)]
        status, streamed_by, text = stream.result()
    check("a machine goes down: its stream ends whole", text.endswith("data: [DONE]\n\n"))
    check("and was its own", (status, streamed_by) == (200, name), (status, streamed_by))
    statuses = sorted({status for status, _, _ in answers})
    check("every other request is answered", statuses == [200], statuses)
    check("it ends in order", leaving.daemon.wait() == 0)
    leaving.start()
    check("it comes back from draining", ready(3))


def check_everybody_gone(machines):
    for machine in machines:
        machine.end(signal.SIGTERM)
    time.sleep(2)
    status, _, answer = ask("nobody")
    check("with all machines gone clients get 503", status == 503, status)
    check("as an error that they understand", "error" in answer, answer)
    for machine in machines:
        machine.start()
    check("all three come back", ready(3))


def check_litellm(machines):
    try:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import yaml
        from litellm import Router
    except ImportError:
        return print("skipped: LiteLLM's router (no Python package litellm)")
    with open(ROOT + "/deploy/litellm.yaml") as file:
        config = yaml.safe_load(file)
    router = Router(model_list=config["model_list"], **config["router_settings"])

    def answer(number):
        reply = router.completion(
            model="shell", max_tokens=8,
            messages=[{"role": "user", "content": f"What is {number}?"}])
        return reply.choices[0].message.content

    check("LiteLLM's router: answers", all(answer(number) for number in range(6)))
    machines[1].end(signal.SIGKILL)
    answers = [answer(number) for number in range(12)]
    check("LiteLLM's router: a machine is lost, every request is answered", all(answers))
    machines[1].start()


def check_kubernetes():
    try:
        import kubernetes_validate
        import yaml
    except ImportError:
        return print("skipped: Kubernetes' schemas (no Python package kubernetes-validate)")
    with open(ROOT + "/deploy/kubernetes.yaml") as file:
        objects = list(yaml.safe_load_all(file))
    problems = []
    for one in objects:
        try:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{one['kind']}: {error.message}")
    check(f"Kubernetes' schemas: {len(objects)} objects", not problems, problems)


def serve(programs, model, folder):
    run(programs + "/sluice", "import", model, "--library", folder + "/library", "--name", "shell")
    run("ip", "link", "add", "net", "type", "bridge")
    run("ip", "addr", "add", "10.77.0.1/24", "dev", "net")
    for link in ("net", "lo"):
        run("ip", "link", "set", link, "up")
    machines = [Machine(number, programs, folder) for number in range(3)]
    balancer = subprocess.Popen(["haproxy", "-f", ROOT + "/deploy/haproxy.cfg"], **QUIET)
    try:
        check_spreading()
        check_losing(machines)
        check_draining(machines)
        check_everybody_gone(machines)
        check_litellm(machines)
    finally:
        balancer.kill()
        balancer.wait()
        for machine in machines:
            machine.close()


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    check_kubernetes()
    lacking = missing()
    if lacking:
        return print("skipped: several machines (not here: " + ", ".join(lacking) + ")")
    if os.environ.get("SCALE_TEST_INSIDE") != "yes":
        os.environ["SCALE_TEST_INSIDE"] = "yes"
        os.execvp("unshare", unshare() + [sys.executable] + sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        serve(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), folder)
    print(f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
