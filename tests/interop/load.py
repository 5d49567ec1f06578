"""Many clients at once, and what must hold afterwards: whatever was acknowledged is delivered, once, unchanged."""

import threading
import time

from harness import Failed, body_of, check, hello, same_body


class Load:
    """num_clients connections that hand over message after message, num_each by each (None: until told to stop)."""

    def __init__(self, server, num_clients, num_each, size=2000, tls=False, first=0, user="alice", together=False):
        self.server, self.num_each, self.size, self.tls, self.user = server, num_each, size, tls, user
        self.sent = {}  # number -> body, from before the first byte left
        self.acknowledged = {}  # number -> queue id
        self.errors = []
        self.enough = False
        self.lock = threading.Lock()
        self.next_number = first
        self.barrier = threading.Barrier(num_clients) if together else None
        self.threads = [threading.Thread(target=self._client, daemon=True) for _ in range(num_clients)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def _client(self):
        try:
            client = hello(self.server, tls=self.tls)
            if self.barrier:
                self.barrier.wait(60)
            count = 0
            while not self.enough and (self.num_each is None or count < self.num_each):
                with self.lock:
                    number = self.next_number
                    self.next_number += 1
                body = body_of(number, self.size)
                self.sent[number] = body
                self.acknowledged[number] = client.message(body, f"{self.user}@test.example")
                count += 1
            client.quit()
        except Exception as e:  # the one who waits for us looks at it
            self.errors.append(e)

    def wait(self, limit_s=120):
        for thread in self.threads:
            thread.join(limit_s)
            check(not thread.is_alive(), f"a client still waits after {limit_s} s; {len(self.acknowledged)} acknowledged")

    def finish(self, limit_s=120):
        """All went through without an error and is delivered."""
        self.wait(limit_s)
        check(not self.errors, f"{len(self.errors)} clients failed, the first: {self.errors[:1]}")
        self.check_delivered(limit_s)

    def check_delivered(self, limit_s=60):
        """Each acknowledged message is there exactly once, each other that was sent at most once, nothing else."""
        check(self.acknowledged, "nothing was acknowledged")
        end = time.monotonic() + limit_s
        lost = [None]
        while lost and time.monotonic() < end:
            # Those that were not acknowledged may come before those that were.
            found = self._numbers(self.server.messages(self.user, len(self.acknowledged), limit_s))
            lost = sorted(set(self.acknowledged) - found)
            if lost:
                time.sleep(0.2)
        check(not lost, f"{len(lost)} acknowledged messages are not delivered: {lost[:5]}")

    def _numbers(self, messages):
        found = set()
        for message in messages:
            number = number_of(message)
            check(number in self.sent, f"a message that nobody sent: {message[:200]!r}")
            check(number not in found, f"message {number} was delivered twice")
            check(same_body(message, self.sent[number]), f"message {number} was changed on its way")
            found.add(number)
        return found


def number_of(message):
    for line in message.split(b"\n"):
        if line.startswith(b"X-Number: "):
            return int(line[10:])
    raise Failed(f"a message without its number: {message[:300]!r}")
