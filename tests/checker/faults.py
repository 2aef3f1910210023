"""What is done to a cluster under load. Each fault is a function of (cluster, random, seconds, say) that returns when all is healed; `seconds` is
how long the trouble lasts, where that is a choice. They block: run them on a thread."""

import time
from dataclasses import dataclass, field

DRAIN_SECONDS = 2
EXIT_SECONDS = DRAIN_SECONDS + 20
EVERY = 100  # republished messages


@dataclass
class Done:
    """What a fault says of itself."""

    healed: float = 0.0  # time.monotonic() at which nothing was broken any more
    store_lost: float = 0.0  # when the store went back or away; 0: it did not
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def done(self):
        self.healed = time.monotonic()
        return self


def nothing(cluster, random, seconds):
    time.sleep(seconds)
    return Done().done()


def replica_killed(cluster, random, seconds):
    """kill -9, and it is back later."""
    replica = random.choice(cluster.replicas)
    done = Done(notes=[replica.name], store_lost=0 if cluster.nats else time.monotonic())  # without NATS its logs end with it
    replica.kill()
    time.sleep(seconds)
    replica.start()
    replica.wait_ready()
    return done.done()


def replica_stopped(cluster, random, seconds):
    """SIGSTOP: its sockets are there, and nobody is behind them."""
    replica = random.choice(cluster.replicas)
    replica.pause()
    time.sleep(seconds)
    replica.resume()
    return Done(notes=[replica.name]).done()


def replica_cut_off(cluster, random, seconds):
    """It cannot reach NATS, its clients and producers can reach it."""
    replica = random.choice(cluster.replicas)
    how = random.choice(("held", "blackhole", "refused"))
    for link in cluster.links_of(replica):
        link.hold() if how == "held" else link.blackhole() if how == "blackhole" else link.cut(refuse=True)
    time.sleep(seconds)
    cluster.heal()
    return Done(notes=[replica.name, how]).done()


def replicas_rolled(cluster, random, seconds):
    """A rolling restart: each drains, ends with 0, and is ready again before the next begins."""
    done = Done()
    for replica in random.sample(cluster.replicas, len(cluster.replicas)):
        code = replica.terminate(EXIT_SECONDS)
        if code != 0:
            done.problems.append(f"{replica.name} ended with {code} after SIGTERM: {replica.output[-1500:]}")
        replica.start()
        replica.wait_ready()
    return done.done()


def nats_leader_killed(cluster, random, seconds):
    return _nats_killed(cluster, cluster.nats.leader(random.choice(cluster.streams())), seconds)


def nats_follower_killed(cluster, random, seconds):
    return _nats_killed(cluster, cluster.nats.follower(random.choice(cluster.streams())), seconds)


def _nats_killed(cluster, node, seconds):
    node.kill()
    time.sleep(seconds)
    cluster.nats.restart()
    done = Done(notes=[node.name]).done()
    cluster.nats.wait_in_sync()
    return done


def nats_rolled(cluster, random, seconds):
    """A rolling restart of NATS: the next one only when all replicas of all streams are up to date."""
    for node in random.sample(cluster.nats.nodes, len(cluster.nats.nodes)):
        node.stop()
        cluster.nats.restart()
        cluster.nats.wait_in_sync()
    return Done().done()


def republished_dropped(cluster, random, seconds):
    """Each 100th message of a live subject is lost on its way to a replica."""
    before = cluster.filter.dropped
    cluster.filter.drop_every(EVERY, "herald.l.>")
    time.sleep(seconds)
    cluster.filter.drop_none()
    done = Done(notes=[f"{cluster.filter.dropped - before} lost"]).done()
    if cluster.filter.dropped == before:
        done.problems.append("no republished message came by, so none was dropped")
    return done


def stream_deleted(cluster, random, seconds):
    """One stream is gone with all that it held. The replicas make it again, or somebody does at once, just as it was."""
    name = random.choice(cluster.streams())
    lost = time.monotonic()
    config = cluster.nats.delete_stream(name)
    at_once = random.random() < 0.5
    if not at_once:
        time.sleep(seconds)
    cluster.nats.create_stream(config)
    done = Done(store_lost=lost, notes=[name, "by somebody" if at_once else "by the replicas"]).done()
    cluster.nats.wait_in_sync()
    return done


def store_rolled_back(cluster, random, seconds):
    """All stores are what they were some seconds ago. Healed is NATS, after such a start, once each stream has a leader."""
    cluster.nats.snapshot()
    time.sleep(seconds)
    cluster.nats.kill()
    time.sleep(0.5)  # what had been acknowledged is with the producers
    lost = time.monotonic()
    cluster.nats.roll_back()
    cluster.nats.restart()
    cluster.nats.wait_in_sync()
    return Done(store_lost=lost).done()


# name → (function, seconds, seconds in the short set)
FAULTS = {
    "replica-killed": (replica_killed, 3, 1),
    "nats-leader-killed": (nats_leader_killed, 5, 2),
    "nats-follower-killed": (nats_follower_killed, 5, 2),
    "replica-stopped": (replica_stopped, 20, 4),
    "replica-cut-off": (replica_cut_off, 30, 5),
    "replicas-rolled": (replicas_rolled, 0, 0),
    "nats-rolled": (nats_rolled, 0, 0),
    "republished-dropped": (republished_dropped, 10, 4),
    "stream-deleted": (stream_deleted, 3, 2),
    "store-rolled-back": (store_rolled_back, 3, 2),
}
OTHERS = {"nothing": (nothing, 5, 2)}
