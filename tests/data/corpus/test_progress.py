"""Progress lines of corpus preparation in a log."""

from src.data.corpus.progress import Progress


def test_progress():
    class Log:
        def __init__(self):
            self.lines = []

        def write(self, text):
            self.lines.append(text)

        def flush(self):
            pass

        def isatty(self):
            return False

    now, log = [0.0], Log()
    progress = Progress(10_000_000, log, lambda: now[0])
    for second in range(0, 101, 10):
        now[0] = second
        progress.update(second * 50_000)
    said = "".join(log.lines).splitlines()
    assert len(said) == 3 and said[0] == "1.50MB of 10.0MB of text (15%), 50.0kB/s, 02:50 left"
