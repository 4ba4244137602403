#!/usr/bin/env python3
"""A soak of the mount: writers, batches, readers and consumers on a small disk that is filled now and then, under a daemon that is
killed, told to end and unmounted at random. In the end every count is right: what was acknowledged was consumed, what was refused
never appears, a batch is whole or absent, nothing comes twice but what at-least-once allows, no descriptor leaks, no memory grows.

    tests/soak/soak.py --minutes 30 [--seed N] [--consistency strict|at-least-once:N]

Needs root (a loop-mounted ext4) and /dev/fuse. WALRUSFS and WALRUS name the programs. Prints its seed and, now and then, what it is at.
"""
import argparse, collections, errno, multiprocessing, os, random, shutil, signal, subprocess, sys, tempfile, time, zlib

DISK_BYTES = 128 << 20
LOST_MOUNT = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.ENODEV)
LINE_TOPICS = ('orders', 'tenant/events')
BATCH_TOPICS = ('ledger', 'audit')
RING, RINGS_KEPT = 'anon_inode:[io_uring]', 16 + 8  # of batches, and of the transport
BATCH_ENTRIES = 40  # in each of its topics


def line_of(writer, number, rng):
    text = b'%s %d %s' % (writer.encode(), number, b'x' * rng.randrange(160))
    return b'%s %08x\n' % (text, zlib.crc32(text))


def parse(line):
    """(writer, number) of a line without its newline. AssertionError: it is not whole."""
    text, _, checksum = line.rpartition(b' ')
    assert checksum == b'%08x' % zlib.crc32(text), f'a torn line: {line[:80]!r}'
    writer, number, _ = text.split(b' ', 2)
    return writer.decode(), int(number)


class Client(multiprocessing.Process):
    """Works in steps until told to end; closes what it has open when it pauses, and when the mount dies under it."""

    def __init__(self, soak, name):
        super().__init__(daemon=True)
        self.soak, self.name_of, self.paused = soak, name, multiprocessing.Event()
        self.fd = None

    def run(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.rng = random.Random(f'{self.soak.seed} {self.name_of}')
        try:
            while not self.soak.ended.is_set() and not self.finished():
                if not self.soak.running.is_set():
                    self.close()
                    self.paused.set()
                    self.soak.running.wait(0.5)
                    continue
                self.paused.clear()
                try:
                    self.step()
                except OSError as e:
                    self.close()
                    if e.errno not in LOST_MOUNT:
                        raise
                    time.sleep(0.05)
            self.close()
            self.paused.set()
        except Exception as e:
            self.soak.findings.put(f'{self.name_of}: {type(e).__name__} {e}')
            self.paused.set()
            raise

    def finished(self):
        return False

    def close(self):
        if self.fd is not None:
            try:
                os.close(self.fd)
            except OSError:
                pass
            self.fd = None

    def path(self, *parts):
        return os.path.join(self.soak.mnt, *parts)


class Unsure(Client):
    """A client that writes: what the mount died under may be there or not, whole."""

    def __init__(self, soak, name):
        super().__init__(soak, name)
        self.next = multiprocessing.Value('Q', 0)  # all numbers below were acknowledged, or are unsure
        self.unsure = multiprocessing.SimpleQueue()

    def finished(self):
        return self.soak.writing_ended.is_set()

    def attempt(self, count, write):
        """Runs write() for numbers [next, next + count). A full disk is no progress: the same numbers come again."""
        try:
            write()
        except OSError as e:
            if e.errno == errno.ENOSPC:
                with self.soak.refused.get_lock():
                    self.soak.refused.value += 1
                time.sleep(0.05)
                return
            if e.errno in LOST_MOUNT:
                self.unsure.put((self.next.value, self.next.value + count))
                self.next.value += count
            raise
        self.next.value += count


class Writer(Unsure):
    def __init__(self, soak, name, topic, synced):
        super().__init__(soak, name)
        self.topic, self.synced = topic, synced

    def step(self):
        if self.fd is None:
            self.fd = os.open(self.path(self.topic), os.O_WRONLY | os.O_APPEND | (os.O_DSYNC if self.synced else 0))
        count = self.rng.choice((1, 1, 3, 40, 200))
        data = b''.join(line_of(self.name_of, self.next.value + i, self.rng) for i in range(count))
        self.attempt(count, lambda: self.write_all(data))
        time.sleep(self.rng.choice((0, 0.001, 0.02)))
        if self.rng.random() < 0.05:
            self.close()

    def write_all(self, data):
        written = os.write(self.fd, data)
        assert written == len(data), f'a short write: {written} of {len(data)}'

    def names(self):
        return [self.name_of]

    def wholes(self, first, end):
        """The parts of an unsure range that are all there or all absent: one write(2) is one batch."""
        return [range(first, end)]


class Batcher(Unsure):
    """One number is one batch: BATCH_ENTRIES lines in each of its topics."""

    def step(self):
        staged = b''.join(b'%s\t%s' % (name.rpartition('.')[2].encode(), line_of(name, self.next.value, self.rng))
                          for name in self.names())
        self.fd = os.open(self.path('.batch'), os.O_WRONLY)
        os.write(self.fd, staged)
        if self.rng.random() < 0.1:
            os.write(self.fd, b'ABORT\n')
        else:
            self.attempt(1, lambda: os.write(self.fd, b'COMMIT\n'))
        self.close()
        time.sleep(self.rng.choice((0.005, 0.05)))

    def names(self):
        return [f'{self.name_of}.{i}.{topic}' for i in range(BATCH_ENTRIES) for topic in BATCH_TOPICS]

    def wholes(self, first, end):
        return [range(number, number + 1) for number in range(first, end)]


class Reader(Client):
    """Reads whole topics: lines are whole, and each writer's numbers rise."""

    def step(self):
        topic = self.rng.choice(LINE_TOPICS + BATCH_TOPICS)
        self.fd = os.open(self.path(topic), os.O_RDONLY)
        rest, last = b'', {}
        while self.soak.running.is_set():
            data = os.read(self.fd, 1 << 18)
            if not data:
                break
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                writer, number = parse(line)
                assert number > last.get(writer, -1), f'{topic}: {writer} {number} after {last[writer]}'
                last[writer] = number
        self.close()
        time.sleep(0.1)


class Consumer(Client):
    """Takes entries, by .drain or by O_NONBLOCK, and writes down what it got."""

    def __init__(self, soak, name, topic):
        super().__init__(soak, name)
        self.topic, self.journal_path = topic, os.path.join(soak.journals, name)
        self.empty = multiprocessing.Value('d', 0)  # when it last found nothing
        self.cut_bytes = multiprocessing.Value('Q', 0)  # at most so much was on its way when the mount died

    def step(self):
        drain = self.rng.random() < 0.5
        path = self.path('.drain', self.topic) if drain else self.path(self.topic)
        self.fd = os.open(path, os.O_RDONLY | (0 if drain else os.O_NONBLOCK))
        size = 4096 if drain else self.rng.choice((2000, 1 << 16))
        with open(self.journal_path, 'ab', buffering=0) as journal:
            rest = b''
            while self.soak.running.is_set() and not self.soak.ended.is_set():
                try:
                    data = os.read(self.fd, size)
                except OSError:
                    # Of an entry that came in part, the rest went with the mount.
                    journal.write(rest + b'\n' if rest else b'')
                    self.cut_bytes.value += size
                    raise
                if not data:
                    self.empty.value = time.monotonic()
                    break
                *lines, rest = (rest + data).split(b'\n')
                journal.write(b''.join(line + b'\n' for line in lines))
            while rest:  # paused in the middle of an entry
                data = os.read(self.fd, size)
                *lines, rest = (rest + data).split(b'\n')
                journal.write(b''.join(line + b'\n' for line in lines))
        self.close()
        time.sleep(0.005)


class Soak:
    def __init__(self, arguments):
        self.seed, self.consistency = arguments.seed, arguments.consistency
        self.rng = random.Random(arguments.seed)
        self.duration = arguments.minutes * 60
        self.walrusfs = os.environ.get('WALRUSFS', 'walrusfs')
        self.walrus = os.environ.get('WALRUS', 'walrus')
        self.work = tempfile.mkdtemp(prefix='walrus-soak-', dir=arguments.dir)
        self.disk, self.mnt, self.journals = (os.path.join(self.work, n) for n in ('disk', 'mnt', 'journals'))
        self.data = os.path.join(self.disk, 'data')
        for directory in (self.disk, self.mnt, self.journals):
            os.mkdir(directory)
        self.running, self.ended, self.writing_ended = (multiprocessing.Event() for _ in range(3))
        self.findings = multiprocessing.SimpleQueue()
        self.refused = multiprocessing.Value('L', 0)
        self.daemon, self.stderr = None, open(os.path.join(self.work, 'stderr'), 'ab')
        self.counts = collections.Counter()
        self.problems, self.memory_kib = [], []

    # ---- the daemon ----

    def start(self):
        sync = self.rng.choice(('each', 'every:20ms', 'none'))
        self.daemon = subprocess.Popen(
            [self.walrusfs, self.data, self.mnt, '-f', '-o', f'sync={sync},consistency={self.consistency}'],
            stderr=self.stderr)
        for _ in range(1200):
            if os.path.ismount(self.mnt):
                try:
                    os.stat(os.path.join(self.mnt, '.batch'))
                    return
                except OSError:
                    pass
            if self.daemon.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f'the mount did not come up: see {self.work}/stderr')

    def stop(self, how):
        self.counts[how] += 1
        if how == 'kill -9':
            self.daemon.kill()
            self.daemon.wait()
            subprocess.run(['fusermount3', '-u', '-z', self.mnt], check=True)
            return
        if how == 'SIGTERM':
            self.daemon.terminate()
        else:
            subprocess.run(['fusermount3', '-u', '-z', self.mnt], check=True)
        try:
            code = self.daemon.wait(120)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            raise RuntimeError(f'{how}: the daemon did not end within two minutes')
        if code != 0:
            self.problems.append(f'{how}: the daemon ended with {code}: {self.last_words()}')

    def last_words(self):
        with open(os.path.join(self.work, 'stderr'), errors='replace') as stderr:
            return ' | '.join(stderr.read().splitlines()[-4:])

    # ---- looking at it ----

    def pause(self):
        self.running.clear()
        for client in self.clients:
            while not client.paused.wait(1) and client.is_alive():
                pass

    def resume(self):
        for client in self.clients:
            client.paused.clear()
        self.running.set()

    def descriptors(self):
        """What the daemon has open: the log's files by name, the rest by kind."""
        directory, files, others = f'/proc/{self.daemon.pid}/fd', collections.Counter(), collections.Counter()
        for name in os.listdir(directory):
            try:
                target = os.readlink(os.path.join(directory, name))
            except FileNotFoundError:
                continue
            if target.startswith(self.data):
                files[target] += 1
            else:
                others[target.partition(':')[0] if target.startswith(('socket', 'pipe')) else target] += 1
        return files, others

    def too_many(self, before):
        """Descriptors that a mount without open files has no use for."""
        files, others = self.descriptors()
        others.pop(RING, None) if others[RING] <= RINGS_KEPT else None
        return {name: count for name, count in files.items() if count > max(2, before[0][name]) or name.endswith('(deleted)')} | dict(
            others - before[1])

    def look(self, expected):
        """With every client paused: no descriptor too many, and how much memory it takes. Closes are answered late."""
        for _ in range(100):
            strays = self.too_many(expected)
            if not strays:
                break
            time.sleep(0.1)
        else:
            self.problems.append(f'descriptors: {strays}; at the start {dict(expected[1])}')
        with open(f'/proc/{self.daemon.pid}/status') as status:
            self.memory_kib.append(next(int(l.split()[1]) for l in status if l.startswith('VmRSS')))

    def fill_disk(self):
        self.counts['full disk'] += 1
        path = os.path.join(self.disk, 'ballast')
        try:
            with open(path, 'wb', buffering=0) as ballast:
                while True:
                    ballast.write(bytes(1 << 18))
        except OSError as e:
            assert e.errno == errno.ENOSPC
        time.sleep(self.rng.uniform(0.5, 3))
        os.unlink(path)

    # ---- the run ----

    def make_clients(self):
        self.writers = [Writer(self, f'w{i}', LINE_TOPICS[i % 2], i == 0) for i in range(5)]
        self.writers += [Batcher(self, f'b{i}') for i in range(2)]
        self.consumers = [Consumer(self, f'c{i}', topic)
                          for i, topic in enumerate(LINE_TOPICS + LINE_TOPICS + BATCH_TOPICS)]
        self.clients = self.writers + self.consumers + [Reader(self, f'r{i}') for i in range(2)]

    def troubles(self, until, quiet):
        """Something happens every few seconds until `until`. quiet: nothing that ends the daemon."""
        expected = self.descriptors()
        while time.monotonic() < until and self.findings.empty() and not self.problems:
            time.sleep(min(self.rng.uniform(1, 6), max(0.1, until - time.monotonic())))
            what = self.rng.choice(('fill', 'look')) if quiet else self.rng.choice(
                ('kill -9', 'kill -9', 'SIGTERM', 'unmount', 'fill'))
            if what == 'fill':
                self.fill_disk()
            elif what == 'look':
                self.pause()
                self.look(expected)
                self.resume()
            else:
                self.stop(what)
                self.start()

    def run(self):
        self.start()
        os.mkdir(os.path.join(self.mnt, 'tenant'))
        for topic in LINE_TOPICS + BATCH_TOPICS:
            open(os.path.join(self.mnt, topic), 'x').close()
        self.make_clients()
        for client in self.clients:
            client.start()
        self.running.set()
        begin = time.monotonic()
        self.troubles(begin + self.duration / 3, False)
        self.troubles(begin + self.duration * 2 / 3, True)
        self.troubles(begin + self.duration, False)
        self.writing_ended.set()
        self.drain()
        self.ended.set()
        self.running.set()
        for client in self.clients:
            client.join(60)
        if self.daemon.poll() is None:
            self.stop('unmount')
        while not self.findings.empty():
            self.problems.append(self.findings.get())
        self.check_log()
        self.verify()

    def drain(self):
        """Until every consumer found nothing after the last writer had ended."""
        for writer in self.writers:
            while writer.is_alive() and not writer.paused.wait(1):
                pass
        since, limit = time.monotonic(), time.monotonic() + 600
        while any(c.is_alive() and c.empty.value < since for c in self.consumers):
            if time.monotonic() > limit:
                self.problems.append('ten minutes were not enough to take what was left')
                return
            time.sleep(0.1)

    def check_log(self):
        done = subprocess.run([self.walrus, '-D', self.data, 'check'], capture_output=True, text=True)
        if done.returncode != 0:
            self.problems.append(f'walrus check: {done.returncode} {done.stdout} {done.stderr}')
        with open(os.path.join(self.work, 'stderr')) as stderr:
            text = stderr.read()
        if 'Sanitizer' in text or 'runtime error' in text:
            self.problems.append(text)

    # ---- the counts ----

    def received(self):
        """How often each (writer, number) was consumed."""
        got = collections.Counter()
        for consumer in self.consumers:
            if not os.path.exists(consumer.journal_path):
                continue
            with open(consumer.journal_path, 'rb') as journal:
                for line in journal.read().split(b'\n')[:-1]:
                    try:
                        got[parse(line)] += 1
                    except (AssertionError, ValueError):
                        # The beginning of an entry whose rest went with a killed daemon.
                        self.counts['parts'] += 1
        return got

    def verify(self):
        got = self.received()
        self.entries, self.twice, self.missing = sum(got.values()), sum(n - 1 for n in got.values()), 0
        interval = int(self.consistency.partition(':')[2] or 0)
        strict = interval == 0
        for writer in self.writers:
            self.verify_writer(writer, got, strict)
        if got:
            self.problems.append(f'{len(got)} entries that nobody wrote, or that were refused: {list(got)[:3]}')
        # Strict: what was on its way to a reader when the daemon died is not handed out again. An entry has 20 bytes
        # at least. Else: of each topic's cursor, at most the last `interval` entries come again.
        allowed_missing = sum(c.cut_bytes.value for c in self.consumers) // 20 if strict else 0
        allowed_twice = self.counts['kill -9'] * interval * len(LINE_TOPICS + BATCH_TOPICS)
        if self.missing > allowed_missing:
            self.problems.append(f'{self.missing} acknowledged entries were not consumed (allowed: {allowed_missing})')
        if self.twice > allowed_twice:
            self.problems.append(f'{self.twice} entries came again (allowed: {allowed_twice})')
        if len(self.memory_kib) >= 8 and 'SOAK_SANITIZED' not in os.environ:
            growth = min(self.memory_kib[-2:]) - max(self.memory_kib[1:3])
            if growth > 4096:
                self.problems.append(f'memory grew by {growth} KiB: {self.memory_kib}')

    def verify_writer(self, writer, got, strict):
        unsure = []
        while not writer.unsure.empty():
            unsure += writer.wholes(*writer.unsure.get())
        names = writer.names()
        unsure_numbers = {number for whole in unsure for number in whole}
        there = {}
        for number in range(writer.next.value):
            present = sum(got.pop((name, number), 0) > 0 for name in names)
            if number in unsure_numbers:
                there[number] = present
            else:
                self.missing += len(names) - present
        for whole in unsure:
            present = sum(there[number] for number in whole)
            if present not in (0, len(whole) * len(names)) and not strict:
                self.problems.append(f'{writer.name_of}: of {whole}, cut off by a crash, {present} entries are there')

    def report(self):
        print(f'{self.entries} entries consumed by {len(self.consumers)} consumers, {self.refused.value} writes refused by a '
              f'full disk, {self.missing} missing, {self.twice} twice; '
              + ', '.join(f'{count} x {what}' for what, count in sorted(self.counts.items())))
        print(f'memory at rest, KiB: {self.memory_kib}')

    # ---- around it ----

    def make_disk(self):
        image = os.path.join(self.work, 'disk.img')
        with open(image, 'wb') as file:
            file.truncate(DISK_BYTES)
        subprocess.run(['mkfs.ext4', '-q', '-F', '-m', '0', image], check=True)
        return subprocess.run(['mount', '-o', 'loop', image, self.disk]).returncode == 0

    def clean_up(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        for mounted in (self.mnt, self.disk):
            subprocess.run(['umount', '-l', mounted], capture_output=True)
        shutil.rmtree(self.work, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    parser.add_argument('--consistency', default='at-least-once:10')
    parser.add_argument('--dir', default=os.environ.get('TMPDIR', '/tmp'))
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not os.access('/dev/fuse', os.R_OK | os.W_OK):
        print('skipped: needs root and /dev/fuse', file=sys.stderr)
        return 77
    print(f'soak.py --minutes {arguments.minutes:g} --seed {arguments.seed} --consistency {arguments.consistency}', flush=True)
    soak = Soak(arguments)
    try:
        if not soak.make_disk():
            print('skipped: no loop device', file=sys.stderr)
            return 77
        soak.run()
        soak.report()
    finally:
        soak.clean_up()
    for problem in soak.problems:
        print('FAILED:', problem, file=sys.stderr)
    return 1 if soak.problems else 0


if __name__ == '__main__':
    sys.exit(main())
