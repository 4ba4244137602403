"""What real tools see on the mount, row by row; semantics.sh mounts and runs it.

semantics_table.py PAGE TESTS              checks that the page and the tests know of each other
semantics_table.py PAGE TESTS MNT [ORACLE] also runs every case in a directory of its own under MNT

A case that says `same` is defined by ext4 with chattr +a: where ORACLE (a directory on ext4, as root) is given, the same
command runs there on an append-only file, and what it prints, and its exit status, must be the same, and as recorded here.
The others are where the mount differs on purpose; the page says why. `topic` holds the lines one and two at first. A
command ends with what is then in the file, so that a refusal that has changed something does not pass for one.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys

Case = collections.namedtuple('Case', 'name tools command expected same')
CASES = []


def case(name, tools, command, expected, same=True):
    assert all(c.name != name for c in CASES), name
    CASES.append(Case(name, tools.split(), command, expected, same))


KEPT = 'one two'
DENIED = 'Operation not permitted'

# ---- shells ----
case('redirect', 'bash', 'echo x >topic', f'topic: {DENIED}|1|{KEPT}')
case('redirect_dash', 'dash', "dash -c 'echo x >topic'", f'cannot create topic: {DENIED}|2|{KEPT}')
case('redirect_append', 'bash', 'echo three >>topic', f'0|{KEPT} three')
case('append_dash', 'dash', "dash -c 'echo three >>topic; exec 3>>topic; echo four >&3; echo five >&3'", f'0|{KEPT} three four five')
case('redirect_both', 'bash', 'exec 3<>topic', f'topic: {DENIED}|1|{KEPT}')
case('noclobber', 'bash', 'set -C; echo x >topic', f'topic: cannot overwrite existing file|1|{KEPT}')
case('several_descriptors', 'bash', 'exec 3>>topic 4>>topic; echo a >&3; echo b >&4; echo c >&3', f'0|{KEPT} a b c')
case('here_document', 'bash', 'cat >>topic <<X\nthree\nfour\nX', f'0|{KEPT} three four')
case('redirect_new', 'bash', 'echo x >new; cat new; echo y >new', f'x new: {DENIED}|1|{KEPT}', same=False)

# ---- coreutils, util-linux and others that write ----
case('truncate', 'truncate', 'truncate -s 0 topic', f"truncate: cannot open 'topic' for writing: {DENIED}|1|{KEPT}")
case('dd', 'dd', 'echo x | dd of=topic status=none', f"dd: failed to open 'topic': {DENIED}|1|{KEPT}")
case('dd_append', 'dd', 'echo x | dd of=topic oflag=append conv=notrunc status=none', f'0|{KEPT} x')
case('dd_sync', 'dd', 'echo x | dd of=topic oflag=append,dsync conv=notrunc,fsync status=none', f'0|{KEPT} x')
case('tee', 'tee', 'echo x | tee topic', f'tee: topic: {DENIED} x|1|{KEPT}')
case('tee_append', 'tee', 'echo x | tee -a topic', f'x|0|{KEPT} x')
case('cp_over', 'cp', 'echo x >other; cp other topic', f"cp: cannot create regular file 'topic': {DENIED}|1|{KEPT}")
case('cp_force', 'cp', 'echo x >other; cp -f other topic', '0|x', same=False)
case('mv_away', 'mv', 'mv topic other', f"mv: cannot move 'topic' to 'other': {DENIED}|1|{KEPT}")
case('mv_over', 'mv', 'echo x >>other; mv other topic; cat other', f"mv: cannot move 'other' to 'topic': {DENIED} x|0|{KEPT}")
case('ln', 'ln', 'ln topic other', f"ln: failed to create hard link 'other' => 'topic': {DENIED}|1|{KEPT}")
case('ln_s', 'ln', 'ln -s topic other', f"ln: failed to create symbolic link 'other': {DENIED}|1|{KEPT}", same=False)
case('rm', 'rm', 'rm topic && ls', '0|', same=False)
case('sed_i', 'sed', 'sed -i s/one/ONE/ topic; ls', f'sed: cannot rename ./sedXXXXXX: {DENIED} topic|0|{KEPT}')
case('shred', 'shred', 'shred -n1 topic', f'shred: topic: failed to open for writing: {DENIED}|1|{KEPT}')
case('touch', 'touch', 'touch topic', f'0|{KEPT}')
case('touch_date', 'touch', 'touch -d 2001-02-03 topic && test topic -nt /proc/1', f'0|{KEPT}', same=False)
case('chmod', 'chmod', 'chmod 640 topic; stat -c %a topic', f'640|0|{KEPT}', same=False)
case('mkfifo', 'mkfifo', 'mkfifo pipe', f"mkfifo: cannot create fifo 'pipe': {DENIED}|1|{KEPT}", same=False)
case('dot_name', 'touch', 'touch .hidden', f"touch: cannot touch '.hidden': Invalid argument|1|{KEPT}", same=False)
case('directory', 'mkdir rmdir', 'mkdir d && echo x >>d/t && rmdir d; cat d/t', f"rmdir: failed to remove 'd': Directory not empty x|0|{KEPT}")
case('fallocate', 'fallocate', 'fallocate -l 100 topic', f'fallocate: cannot open topic: {DENIED}|1|{KEPT}')
case('fallocate_punch', 'fallocate', 'fallocate -p -o 0 -l 4 topic', f'fallocate: cannot open topic: {DENIED}|1|{KEPT}')
case('punch', 'xfs_io', 'xfs_io -a -c "fpunch 0 5" topic', '0|two', same=False)
case('sync', 'sync', 'sync topic && sync -d topic', f'0|{KEPT}')
case('flock', 'flock', 'flock topic echo held', f'held|0|{KEPT}')
case('setfattr', 'setfattr', 'setfattr -n user.x -v 1 topic', f'setfattr: topic: {DENIED}|1|{KEPT}')
case('getfattr', 'getfattr', 'getfattr --only-values -n user.walrus.entries topic', f'2|0|{KEPT}', same=False)
case('split', 'split', 'seq 6 | split -l 3 --filter=\'cat >>topic; echo end >>topic\'', f'0|{KEPT} 1 2 3 end 4 5 6 end')

# ---- readers ----
case('cat', 'cat', 'cat topic topic', f'{KEPT} {KEPT}|0|{KEPT}')
case('sizes', 'wc stat', 'wc -c <topic; stat -c %s topic; cat topic | wc -c; du -b topic | cut -f1', f'8 8 8 8|0|{KEPT}')
case('tail', 'tail tac head', 'tail -n1 topic; tail -c4 topic; tac topic; head -c5 topic; tail -c +3 topic', f'two two two one one te two|0|{KEPT}')
case('grep', 'grep', 'grep -c . topic; grep -n two topic; grep -r one .', f'2 2:two ./topic:one|0|{KEPT}')
case('sort', 'sort', 'sort -r topic; sort -c topic && md5sum topic', f'two one 2094b601daac3d68f5aed51d3c20f7cd  topic|0|{KEPT}')
case('cmp', 'cmp diff', 'cp topic other && cmp topic other && diff topic other && echo same', f'same|0|{KEPT}')
case('less', 'less', 'less topic | cat', f'{KEPT}|0|{KEPT}')
case('tar', 'tar', 'tar cf - topic | tar xOf -', f'{KEPT}|0|{KEPT}')
case('rsync_from', 'rsync', 'D=$(mktemp -d) && rsync -a topic $D/ && cat $D/topic; rm -r $D', f'{KEPT}|0|{KEPT}')
case('rsync_into', 'rsync', 'D=$(mktemp -d) && echo x >$D/new && rsync $D/new . 2>&1 | grep -o "mkstemp.*"; ls; rm -r $D',
     f'mkstemp ".new.XXXXXX" failed: Invalid argument (22) topic|0|{KEPT}', same=False)
case('rsync_inplace', 'rsync', 'D=$(mktemp -d) && echo x >$D/new && rsync --inplace $D/new . 2>&1 | grep -o "ftruncate.*"; cat new; rm -r $D',
     f'ftruncate failed on "new": {DENIED} (1) x|0|{KEPT}', same=False)
case('xargs', 'xargs', 'xargs -n1 -P2 echo <topic | sort', f'{KEPT}|0|{KEPT}')
case('read_loop', 'bash', 'while read -r l; do echo "<$l>"; done <topic', f'<one> <two>|0|{KEPT}')
case('mapfile', 'bash', 'mapfile -t a <topic; echo ${#a[@]} "${a[1]}"', f'2 two|0|{KEPT}')
case('socat_read', 'socat', 'socat -u OPEN:topic,rdonly -', f'{KEPT}|0|{KEPT}')
case('seek', 'dd', 'dd if=topic bs=1 skip=4 status=none; dd if=topic bs=1 skip=100 status=none', f'two|0|{KEPT}')

# ---- python ----
PYTHON = 'python3 -c "import errno, logging, logging.handlers, os\n{}"'
case('python_modes', 'python3', PYTHON.format('''
for mode in ('a', 'a+', 'w', 'r+', 'w+', 'x'):
    try:
        with open('topic', mode) as f: pass
        print(mode, 'ok')
    except OSError as e:
        print(mode, errno.errorcode[e.errno])'''), f'a ok a+ ok w EPERM r+ EPERM w+ EPERM x EEXIST|0|{KEPT}')
case('python_append', 'python3', PYTHON.format('''
f = open('topic', 'ab', buffering=0)
print(f.tell(), f.write(b'three\\n'), f.tell(), os.fstat(f.fileno()).st_size)
print(os.pwrite(f.fileno(), b'four\\n', 0))
f.seek(0)
f.write(b'five\\n')'''), f'8 6 14 14 5|0|{KEPT} three four five')
case('python_truncate', 'python3', PYTHON.format('''
for call in (lambda: os.truncate('topic', 0), lambda: os.ftruncate(os.open('topic', os.O_WRONLY | os.O_APPEND), 0)):
    try:
        call()
    except OSError as e:
        print(errno.errorcode[e.errno])'''), f'EPERM EPERM|0|{KEPT}')
case('python_logging', 'python3', PYTHON.format('''
h = logging.FileHandler('topic')
logging.getLogger().addHandler(h)
for i in range(3): logging.warning('entry %d', i)'''), f'0|{KEPT} entry 0 entry 1 entry 2')
case('python_rotating', 'python3', PYTHON.format('''
h = logging.handlers.RotatingFileHandler('topic', maxBytes=5, backupCount=1)
logging.raiseExceptions = False
logging.getLogger().addHandler(h)
logging.warning('entry')''') + '; ls', f'topic|0|{KEPT}')
case('python_watched', 'python3', PYTHON.format('''
h = logging.handlers.WatchedFileHandler('topic')
logging.getLogger().addHandler(h)
logging.warning('a')
logging.warning('b')'''), f'0|{KEPT} a b')
case('python_unlinked', 'python3', PYTHON.format('''
f = open('other', 'ab+', buffering=0)
f.write(b'x\\n')
os.unlink('other')
f.seek(0)
print(f.read(), os.fstat(f.fileno()).st_nlink)'''), f"b'x\\n' 0|0|{KEPT}")

# ---- loggers and servers ----
case('socat_append', 'socat', 'echo x | socat -u - OPEN:topic,append', f'0|{KEPT} x')
case('socat_listen', 'socat', '''
socat -u UNIX-LISTEN:/tmp/semantics.$$,fork OPEN:topic,append &
for i in $(seq 100); do [ -S /tmp/semantics.$$ ] && break; sleep 0.05; done
for i in 1 2 3; do echo message $i | socat -u - UNIX-CONNECT:/tmp/semantics.$$; done
for i in $(seq 100); do [ $(wc -l <topic) = 5 ] && break; sleep 0.05; done
kill $!; rm -f /tmp/semantics.$$; tail -n3 topic | sort''', 'message 1 message 2 message 3|0|*')
case('parallel', 'parallel', 'parallel -j4 echo {} ">>topic" ::: $(seq 50) 2>/dev/null; sort -n topic | tail -n50 | md5sum',
     '5d634700c6211755a05f842011801338  -|0|*')
case('xargs_append', 'xargs', 'seq 50 | xargs -P4 -I{} sh -c "echo {} >>topic"; sort -n topic | tail -n50 | md5sum',
     '5d634700c6211755a05f842011801338  -|0|*')
case('rotatelogs', 'rotatelogs', 'printf "a\\nb\\n" | rotatelogs new 86400; cat new.*', f'a b|0|{KEPT}')
case('rotatelogs_truncate', 'rotatelogs', 'printf "a\\n" | rotatelogs -t topic 86400', f"Could not open log file 'topic' ({DENIED})|2|{KEPT}")
case('logger_rsyslogd', 'rsyslogd logger', '''
D=$(mktemp -d)
cat >$D/conf <<X
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$D/socket" CreatePath="on")
template(name="plain" type="string" string="%msg:::drop-last-lf%\\n")
action(type="omfile" file="$PWD/topic" template="plain")
X
rsyslogd -n -f $D/conf -i $D/pid >$D/out 2>&1 &
for i in $(seq 100); do [ -S $D/socket ] && break; sleep 0.05; done
for i in 1 2 3; do logger -u $D/socket "message $i"; done
for i in $(seq 200); do grep -q "message 3" topic && break; sleep 0.05; done
kill $(cat $D/pid); wait
grep -o "message ." topic
rm -r $D''', 'message 1 message 2 message 3|0|*')
case('nginx', 'nginx python3', '''
D=$(mktemp -d)
cat >$D/conf <<X
user root;
pid $D/pid;
error_log $D/error;
daemon off;
events {}
http {
    log_format plain '$request $status';
    access_log $PWD/topic plain;
    server { listen unix:$D/socket; location / { return 204; } }
}
X
sed -i 's/log_format plain .*/log_format plain "\\$request \\$status";/' $D/conf
nginx -p $D -c $D/conf >$D/out 2>&1 &
for i in $(seq 100); do [ -S $D/socket ] && break; sleep 0.05; done
python3 -c "
import socket, sys
for i in range(3):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(b'GET /%d HTTP/1.0\\r\\n\\r\\n' % i)
    s.recv(1000)
" $D/socket
for i in $(seq 100); do grep -q /2 topic && break; sleep 0.05; done
kill $!; wait
rm -r $D''', f'0|{KEPT} GET /0 HTTP/1.0 204 GET /1 HTTP/1.0 204 GET /2 HTTP/1.0 204')

# ---- consuming, and what only the mount has ----
case('dd_nonblock', 'dd', 'dd if=topic iflag=nonblock bs=1M status=none; dd if=topic iflag=nonblock bs=1M status=none', f'{KEPT}|0|{KEPT}', same=False)
case('drain', 'cat', 'cat $ROOT/.drain/$NAME/topic; cat $ROOT/.drain/$NAME/topic', f'{KEPT}|0|{KEPT}', same=False)
case('drain_head', 'head', 'head -n1 $ROOT/.drain/$NAME/topic; head -n1 $ROOT/.drain/$NAME/topic', f'{KEPT}|0|{KEPT}', same=False)
case('drain_xargs', 'xargs', 'xargs -n1 -P3 echo <$ROOT/.drain/$NAME/topic | sort; cat $ROOT/.drain/$NAME/topic', f'{KEPT}|0|{KEPT}', same=False)
case('batch', 'bash', "printf '%s\\n' \"$NAME/topic\tthree\" \"$NAME/other\tfour\" COMMIT >$ROOT/.batch; cat other", f'four|0|{KEPT} three', same=False)
case('stat_view', 'grep', 'grep -E "^(entries|bytes|first_sequence) " $ROOT/.stat/$NAME/topic', f'entries 2 bytes 8 first_sequence 0|0|{KEPT}', same=False)
case('records_view', 'jq', 'jq -r "[.sequence,.offset,.length,.data]|@csv" $ROOT/.records/$NAME/topic; tail -n1 $ROOT/.records/$NAME/topic | jq .sequence',
     f'0,0,3,"one" 1,4,3,"two" 1|0|{KEPT}', same=False)
case('config_view', 'bash', 'echo sync=each >$ROOT/.config/$NAME/topic; head -n1 $ROOT/.config/$NAME/topic; echo framing=nul >$ROOT/.config/$NAME/topic',
     f'sync=each echo: write error: Directory not empty|1|{KEPT}', same=False)
case('framing_nul', 'find xargs', 'touch names; echo framing=nul >$ROOT/.config/$NAME/names; find . -name topic -print0 >>names; xargs -0 ls <names; wc -c <names',
     f'./topic 8|0|{KEPT}', same=False)
case('df', 'df', 'df --output=fstype . | tail -n1', f'fuse.walrusfs|0|{KEPT}', same=False)


def shown(directory, command, root):
    """What a command prints, its exit status, and what the topic holds then, in one line without what differs by place."""
    run = subprocess.run(['bash', '-c', command], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60,
                         env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', 'HOME': '/nonexistent',
                              'ROOT': str(root), 'NAME': directory.name, 'NO_COLOR': '1'})
    output = run.stdout.decode(errors='replace').replace(str(directory) + '/', '')
    output = re.sub(r'^(ba|da)?sh: (line )?\d+: ', '', output, flags=re.M)
    output = re.sub(r'\./sed\w{6}\b', './sedXXXXXX', output)
    output = re.sub(r'\.(new)\.\w{6}"', r'.\1.XXXXXX"', output)
    output = re.sub(r'"/\S*/(\.new)', r'"\1', output)
    topic = directory / 'topic'
    content = topic.read_text(errors='replace') if topic.exists() else ''
    return '|'.join(filter(None, [' '.join(output.split('\n')).strip(), str(run.returncode)])) + '|' + ' '.join(content.split('\n')).strip()


def as_expected(got, expected):
    return got == expected or (expected.endswith('|*') and got.startswith(expected[:-1]))


def run_case(case, root, oracle):
    """A list of complaints."""
    complaints = []
    where = [('the mount', root)] + ([('chattr +a', oracle)] if oracle and case.same else [])
    for name, place in where:
        directory = place / case.name
        directory.mkdir()
        (directory / 'topic').write_text('one\ntwo\n')
        if place is oracle:
            subprocess.run(['chattr', '+a', directory / 'topic'], check=True)
        got = shown(directory, case.command, place)
        if not as_expected(got, case.expected):
            complaints.append(f'{case.name}: {name} shows\n    {got}\n  instead of\n    {case.expected}')
    return complaints


def rows_of(page):
    """The rows of the page's tables that have a column `test`: their line and what stands there."""
    tested = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith('|'):
            tested = False
            continue
        cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
        if cells[-1] == 'test':
            tested = True
        elif tested and not set(line) <= set('|-: '):
            yield number, cells[-1]


def check_page(page, tests):
    complaints = []
    named = set()
    for number, cell in rows_of(page):
        names = re.findall(r'`([^`]+)`', cell)
        if not names and cell != '-':
            complaints.append(f'{page.name}:{number}: no test')
        for name in names:
            kind, _, what = name.rpartition(':')
            if kind == 'semantics':
                named.add(what)
                if all(c.name != what for c in CASES):
                    complaints.append(f'{page.name}:{number}: there is no case {what}')
            elif not (tests / (name + '.sh')).exists() and not (tests / (name + '.c')).exists():
                complaints.append(f'{page.name}:{number}: there is no test {name}')
    for c in CASES:
        if c.name not in named:
            complaints.append(f'{page.name}: no row for the case {c.name}')
    return complaints


def main(page, tests, root=None, oracle=None):
    complaints = check_page(pathlib.Path(page), pathlib.Path(tests))
    skipped = collections.Counter()
    done = 0
    for case in CASES if root else []:
        missing = [tool for tool in case.tools if shutil.which(tool, path='/usr/sbin:/usr/bin:/sbin:/bin') is None]
        if missing:
            skipped.update(missing)
            continue
        done += 1
        try:
            complaints += run_case(case, pathlib.Path(root), pathlib.Path(oracle) if oracle else None)
        except subprocess.TimeoutExpired:
            complaints.append(f'{case.name}: hangs')
    if root:
        print(f'{done} cases, {sum(c.same for c in CASES)} of them defined by chattr +a' + ('' if oracle else ' (not at hand)') +
              (f'; skipped for want of {dict(skipped)}' if skipped else ''))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
