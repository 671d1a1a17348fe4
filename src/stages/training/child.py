"""A command in a process of its own, which hears the signals that its parent gets."""

import signal
import subprocess

# Ctrl+C, and what ends or stops a job: those that the run listens to, and the end of its terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


def run_to_end(command, environment):
    """Run a command and wait for it. Returns its exit code, 128 + N where signal N ended it."""
    process, early = None, []

    def pass_on(number, frame):
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]
    before = {number: signal.signal(number, pass_on) for number in heard}
    try:
        # A session of its own: a terminal's Ctrl+C reaches it through this process, and so once.
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
