"""What a server goes through while it is interfered with. Each is a pair: its world, and what happens in it.

A scenario ends early when the server is gone (world.Gone). Under errors it goes on: refusals are temporary ones.
"""

import os
import signal

from harness import Pki, content_of
from world import LOCAL, Responder, World


def mail_world(injector, **more):
    return World(injector, **more)


def mail(world):
    """Messages of every kind, a reload among them, what waited goes on, an orderly end."""
    world.start()
    client = world.connect()
    world.to_all_kinds(client)
    world.server.send_signal(signal.SIGHUP)
    world.wait(lambda: world.server.log_lines("delivery", "result=deferred"), "the first try")
    world.flush()
    world.hand_over(client, [f"carol@{LOCAL}", "z@far.example"], 20000)
    world.wait(lambda: world.is_settled(), "an empty queue")
    world.end()


def compact_world(injector, **more):
    world = World(injector, spool_size="8M", message_size_limit="1M", **more)
    world.server.configure(route_list=f"nowhere.example discard-with-bounce ; * smtp:127.0.0.1:{world.sink.port}")
    return world


def compact(world):
    """More than the spool has room for at once, most of it for nothing, some that stays: the log goes round and is compacted."""
    world.start()
    client = world.connect()
    for turn in range(1, 9):
        world.hand_over(client, ["y@away.example"], 3000)
        for _ in range(16):
            world.hand_over(client, ["x@nowhere.example"], 58000, sender="")
        world.hand_over(client, [f"alice@{LOCAL}"], 3000)
        world.wait(lambda: len(world.server.files("alice")) >= turn, "deliveries")
    world.flush()
    world.wait(lambda: world.is_settled(), "an empty queue")
    world.end()


def proof_world(injector, **more):
    pki = Pki()
    world = World(injector, pki, **more)
    world.good, world.revoked = (content_of(pki.proof(kind)) for kind in ("good", "revoked"))
    world.responder = Responder(world.good)
    world.proof = os.path.join(world.server.dir, "proof.der")
    world.server.configure(tls_ocsp_file=world.proof, ocsp_fetch=world.responder.url)
    return world


def proof(world):
    """A proof is fetched and written down; then the issuer has revoked, which a later run must remember."""
    world.start()
    world.wait(lambda: "result=good" in world.server.log(), "a fetched proof")
    with open(world.proof + ".put", "wb") as f:
        f.write(world.revoked)
    os.rename(world.proof + ".put", world.proof)
    world.server.send_signal(signal.SIGHUP)
    world.wait(lambda: "revoked" in world.server.log(), "the revocation")
    client = world.connect()
    world.hand_over(client, [f"alice@{LOCAL}"])
    world.wait(lambda: world.is_settled(), "an empty queue")
    world.end()


def outbox_world(injector, **more):
    world = World(injector, **more)
    world.server.configure(outbox_directory=world.outbox, submit_socket=os.path.join(world.server.dir, "submit"))
    os.makedirs(world.outbox, exist_ok=True)
    os.chmod(world.outbox, 0o3733)
    return world


def outbox_put(world):
    """postern sendmail while no server runs: it alone is interfered with."""
    world.submit(f"bob@{LOCAL}")
    world.restart()


def outbox_take(world):
    """What was left there is taken in by the server."""
    injector, world.injector = world.injector, None
    for _ in range(3):
        world.submit(f"bob@{LOCAL}")
    world.injector = injector
    world.start()
    world.wait(lambda: not os.listdir(world.outbox), "an empty outbox")
    world.wait(lambda: world.is_settled(), "an empty queue")
    world.end()


SCENARIOS = {
    "mail": (mail_world, mail),
    "compact": (compact_world, compact),
    "proof": (proof_world, proof),
    "outbox-put": (outbox_world, outbox_put),
    "outbox-take": (outbox_world, outbox_take),
}
