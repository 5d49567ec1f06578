"""The first process of an image (boards/lib/init.c), as the first one of a namespace of this machine."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
import harness as h  # noqa: E402

# Says that it runs, and on SIGTERM takes as many seconds as it is told.
SERVICE = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    close(open("/spool/started", O_WRONLY | O_CREAT, 0644));
    sigwait(&set, &sig);
    sleep(argc > 1 ? (unsigned)atoi(argv[1]) : 0);
    close(open("/ended", O_WRONLY | O_CREAT, 0644));
    return 0;
}
"""


def start(conf, files=()):
    """init in a root of its own, with those empty files; the root, and the process that ends with it."""
    root = os.path.join(h.case_dir(), "root")
    for name in ("sbin", "etc", "proc"):
        os.makedirs(os.path.join(root, name))
    for name in files:
        open(os.path.join(root, name), "wb").close()
    with open(os.path.join(h.case_dir(), "service.c"), "w", encoding="ascii") as f:
        f.write(SERVICE)
    for source, name in ((os.path.join(h.TOP, "boards/lib/init.c"), "init"), (f.name, "service")):
        done = subprocess.run(["cc", "-D_GNU_SOURCE", "-static", "-o", os.path.join(root, "sbin", name), source], capture_output=True, text=True, check=False)
        h.check(done.returncode == 0, done.stderr)
    with open(os.path.join(root, "etc/init.conf"), "w", encoding="ascii") as f:
        f.write(conf)
    with open(os.path.join(h.case_dir(), "console"), "wb") as console:
        process = subprocess.Popen(
            [*ALONE, "chroot", root, "/sbin/init"], stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=h.die_with_parent
        )
    return root, process


def first_of(process):
    """Its process id out here."""

    def child():
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
            return f.read().split()

    return int(h.wait_until(child, "init")[0])


def stop(process):
    os.kill(first_of(process), signal.SIGTERM)
    process.wait(60)


def test_mount_waits_for_what_shows_up():
    root, process = start("mount none /spool tmpfs\nrun /sbin/service\n")
    time.sleep(2)
    os.mkdir(os.path.join(root, "spool"))
    inside = f"/proc/{first_of(process)}/root/spool"
    h.wait_until(lambda: os.path.exists(os.path.join(inside, "started")), "the service")
    h.check(os.path.ismount(inside), "nothing is mounted")
    stop(process)


def test_mount_that_is_too_late():
    """It is done all the same, for a service that starts again until it finds what it needs."""
    root, process = start("mount none /spool tmpfs\nrun /sbin/service\n")
    console = os.path.join(h.case_dir(), "console")
    h.wait_until(lambda: b"mount /spool: " in open(console, "rb").read(), "it to be given up", 60)
    os.mkdir(os.path.join(root, "spool"))
    inside = f"/proc/{first_of(process)}/root/spool"
    h.wait_until(lambda: os.path.ismount(inside), "the mount")
    stop(process)


def test_mount_that_fails():
    """It is tried more and more seldom, and told once."""
    root, process = start("mount none /spool tmpfs\nrun /sbin/service\n", ("spool",))
    console = os.path.join(h.case_dir(), "console")
    h.wait_until(lambda: b"mount /spool: " in open(console, "rb").read(), "it to fail")
    time.sleep(13)  # tried after 0, 1, 4, 11 and 26 s
    os.remove(os.path.join(root, "spool"))
    os.mkdir(os.path.join(root, "spool"))
    inside = f"/proc/{first_of(process)}/root/spool"
    time.sleep(5)
    h.check(not os.path.ismount(inside), "it is tried often")
    h.wait_until(lambda: os.path.ismount(inside), "the mount", 30)
    h.check_equal(open(console, "rb").read().count(b"mount /spool: "), 1, "times that it is told")
    stop(process)


def test_services_may_take_their_time_to_end():
    root, process = start("run /sbin/service 12\n")
    os.mkdir(os.path.join(root, "spool"))
    h.wait_until(lambda: os.path.exists(os.path.join(root, "spool/started")), "the service")
    stop(process)
    h.check(os.path.exists(os.path.join(root, "ended")), "it was killed")


ALONE = ("unshare", *(("-r",) if os.geteuid() != 0 else ()), "-m", "-p", "-n", "--fork", "--kill-child")

if __name__ == "__main__":
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0:
        h.main(globals())
    print("SKIPPED: this machine gives no namespaces\n0 passed, 0 failed, 4 skipped")
