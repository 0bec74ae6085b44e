"""Plays one run: the estate on fresh databases, the workload on the source, the engine in between, and what kills it."""

import os
import shutil
import signal
import subprocess
import time

from words import CAPABILITIES
from servers import environment

CAUGHT_UP_S = 180  # thousands of rows that fail one by one, on a machine that does other things besides
STOP_S = 120
HEADLESS = {0: "done", 3: "a server was away"}  # exit codes after which an engine is started again


class Trouble(Exception):
    """Something went wrong that is not a difference: the engine ended, nothing moves, the generator is at fault."""


def own_environment():
    """Without what is meant for the test; the engine would take it for settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PGREKEY")}


class Engine:
    def __init__(self, program, config, log):
        self.program, self.config, self.log, self.process = program, config, log, None

    def command(self, *arguments, timeout=120):
        with open(self.log, "a") as log:
            return subprocess.run([self.program, "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=subprocess.STDOUT, timeout=timeout, env=own_environment()).returncode

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([self.program, "--config", self.config, "run"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, env=own_environment())

    def begin(self, *arguments):
        with open(self.log, "a") as log:
            return subprocess.Popen([self.program, "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=subprocess.STDOUT, env=own_environment())

    def keep_going(self):
        """Starts it again where it ended for a reason that passes."""
        if self.process is None:
            self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        if code not in HEADLESS:
            raise Trouble("the engine ended with exit code %d" % code)
        time.sleep(0.1)
        self.start()

    def state(self):
        code = self.process.poll()
        return "runs" if code is None else "ended with exit code %d" % code

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                code = self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Trouble("the engine did not end within %d s of SIGTERM" % STOP_S) from None
            if code not in HEADLESS and code != -signal.SIGTERM:  # it came before the engine had its handler
                raise Trouble("stopped, the engine ended with exit code %d" % code)
        self.process = None


class Run:
    """One seed. All its files are below dir."""

    def __init__(self, servers, program, seed, dir, estate, workload, rng):
        self.servers, self.program, self.seed, self.dir = servers, program, seed, dir
        self.estate, self.workload, self.rng = estate, workload, rng
        self.source, self.a, self.b = "s%d" % seed, "a%d" % seed, "b%d" % seed
        self.engine = None
        self.writers, self.asked = [], []  # processes: psql, and commands to the engine

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as out:
            out.write(text)

    # --- before

    def prepare(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        rng = self.rng
        self.write("source.sql", self.estate.source_ddl())
        self.write("target.sql", self.estate.target_ddl())
        self.write("mapping.yaml", self.estate.mapping())
        self.without = self.estate.without() if CAPABILITIES["join"] and rng.random() < 0.4 else set()
        if all(r.name in self.without for r in self.estate.rules if not hasattr(r, "mirror")):
            self.without = set()
        self.write("first.yaml", self.estate.mapping(self.without))
        self.write("seed.sql", "".join(s + ";\n" for s in self.workload.seed()))
        self.seconds = rng.choice([0.6, 1.0, 1.6])
        self.write("load.sql", self.workload.script(rng.choice([40, 80, 140]), self.seconds))
        self.write("held.sql", self.workload.held(rng.uniform(0.1, 0.6)))
        self.settings = {"snapshot.range_rows": 1000, "batch.max_rows": rng.choice([10, 100, 10000]),
                         "snapshot.fast_load": rng.choice(["true", "false"]) if CAPABILITIES["fast load"] else "false"}
        self.kills = self.make_kills()
        self.lead = rng.choice([0, 0, 0.2])  # how long the workload runs before the engine does
        self.write("kills.txt", "lead %.1f\n%s\n" % (self.lead, "\n".join("%.3f %s" % k for k in self.kills)))

    def make_kills(self):
        kinds = [("kill", 6), ("cut source", 2), ("cut target", 3), ("restart target", 0.7), ("stop", 1)]
        kinds += [("resync", 2)] if CAPABILITIES["resync"] else []
        count = self.rng.choices([0, 1, 2, 4], [1, 3, 3, 2])[0]
        at = sorted(self.rng.uniform(0.02, self.seconds + 0.3) for _ in range(count))
        acts = [(t, self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]) for t in at]
        if self.without:
            acts.append((self.rng.uniform(0.1, self.seconds), "mapping"))
        return sorted(acts)

    def config(self, name, database):
        mapping = "first.yaml" if name == "a" else "mapping.yaml"
        lines = ["pipeline: %s" % name, "mapping: %s" % mapping, "source:", "  dsn: %r" % self.servers.dsn("source", self.source),
                 "  slot: %s_%d" % (name, self.seed), "  status_interval: 100ms", "target:",
                 "  dsn: %r" % self.servers.dsn("target", database), "  position_interval: 100ms", "reconnect:",
                 "  min: 50ms", "  max: 300ms", "breaker:", "  window: 0", "quarantine:", "  backoff: 1h"]
        for group in ("snapshot", "batch"):
            lines += ["%s:" % group] + ["  %s: %s" % (k.split(".")[1], v) for k, v in self.settings.items() if k.startswith(group)]
        self.write(name + ".yaml", "\n".join(lines) + "\n")
        return Engine(self.program, self.path(name + ".yaml"), self.path(name + ".log"))

    def databases(self):
        self.drop()
        self.servers.sql("source", "postgres", "CREATE DATABASE %s" % self.source)
        for each in (self.a, self.b):
            self.servers.sql("target", "postgres", "CREATE DATABASE %s" % each)
            self.servers.sql("target", each, self.estate.target_ddl())
        self.servers.sql("source", self.source, self.estate.source_ddl())
        self.psql_script("seed.sql")

    def psql_script(self, name):
        self.feed(name).wait()
        self.check_script(name)

    def feed(self, name):
        with open(self.path(name)) as script, open(self.path(name + ".log"), "w") as log:
            return subprocess.Popen(self.servers.psql("source", self.source, "-v", "VERBOSITY=sqlstate", "-f", "-"),
                                    stdin=script, stdout=log, stderr=subprocess.STDOUT, env=environment())

    def check_script(self, name):
        """The source may refuse for its constraints (class 23), a TRUNCATE behind deferred checks (55006), a deadlock; and
        what follows in a failed transaction."""
        with open(self.path(name + ".log")) as log:
            for line in log:
                if "ERROR:" in line and not any(" " + code in line for code in ("23", "25P02", "3B001", "40P01", "55006")):
                    raise Trouble("generator: %s: %s" % (name, line.strip()))

    # --- the run

    def act(self, kind):
        if kind == "kill":
            self.engine.kill()
        elif kind == "stop":
            self.engine.stop()
        elif kind.startswith("cut"):
            side, database = ("source", self.source) if kind == "cut source" else ("target", self.a)
            self.servers.sql(side, "postgres", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                             "datname = '%s' AND application_name LIKE 'pgrekey%%'" % database)
        elif kind == "mapping":
            self.change_mapping()
        elif kind == "resync":
            self.asked.append(self.engine.begin("resync", self.rng.choice([t for t in self.estate.tables if t.rules]).name, "--wait", "3min"))
        else:
            self.servers.restart("target", "immediate")

    def change_mapping(self):
        """The engine goes on with all of it; a first snapshot has to be there before."""
        until = time.monotonic() + CAUGHT_UP_S
        query = "SELECT state FROM pgrekey.pipeline WHERE state = 'streaming'"
        while not self.servers.sql("target", self.a, query, strict=False):
            self.engine.keep_going()
            if time.monotonic() > until:
                raise Trouble("the first snapshot does not end")
            time.sleep(0.02)
        self.engine.stop()
        shutil.copyfile(self.path("mapping.yaml"), self.path("first.yaml"))
        if self.engine.command("init", "--quiet") != 0:
            raise Trouble("init with the whole mapping failed")
        self.engine.start()

    def play(self):
        self.engine = self.config("a", self.a)
        if self.engine.command("init", "--quiet") != 0:
            raise Trouble("init failed")
        self.writers = [self.feed("load.sql"), self.feed("held.sql")]
        time.sleep(self.lead)
        begun = time.monotonic()
        self.engine.start()
        for at, kind in self.kills:
            while time.monotonic() - begun < at:
                time.sleep(0.01)
                self.engine.keep_going()
            self.act(kind)
            self.engine.keep_going()
        for writer, name in zip(self.writers, ("load.sql", "held.sql")):
            while writer.poll() is None:
                time.sleep(0.02)
                self.engine.keep_going()
            self.check_script(name)
        self.caught_up()
        self.answered()

    def answered(self):
        """What the engine was asked for during the run is done, whoever asked: also where the answer found nobody."""
        until = time.monotonic() + CAUGHT_UP_S
        while self.asked and self.servers.sql("target", self.a, "SELECT id FROM pgrekey.resync WHERE done_at IS NULL", strict=False):
            self.engine.keep_going()
            if time.monotonic() > until:
                raise Trouble("a request stays without an answer")
            time.sleep(0.05)
        for each in self.asked:
            code = each.wait()
            if code not in (0, 2, 3):  # 2: asked before the target knew of a pipeline
                raise Trouble("resync ended with exit code %d" % code)

    def caught_up(self):
        lsn = self.servers.value("source", self.source, "SELECT pg_logical_emit_message(true, 'property', '')")
        until = time.monotonic() + CAUGHT_UP_S
        query = ("SELECT lsn >= '%s' AND NOT EXISTS (SELECT FROM pgrekey.mapping_step WHERE state IN ('new', 'back')), paused, "
                 "pause_category FROM pgrekey.pipeline WHERE state = 'streaming'" % lsn)
        while True:
            self.engine.keep_going()
            rows = self.servers.sql("target", self.a, query, strict=False)
            if rows and rows[0][0] == "t":
                return
            if rows and rows[0][1] == "t":
                raise Trouble("the pipeline paused: %s" % rows[0][2])
            if time.monotonic() > until:
                self.note_activity()
                raise Trouble("waited %d s in vain for the target to reach %s; see activity.txt" % (CAUGHT_UP_S, lsn))
            time.sleep(0.03)

    def note_activity(self):
        """What every session waits for, where nothing moves."""
        query = ("SELECT datname, pid, application_name, state, wait_event_type, wait_event, pg_blocking_pids(pid), "
                 "now() - state_change, left(query, 200) FROM pg_stat_activity WHERE datname IS NOT NULL OR state IS NOT NULL ORDER BY 1, 2")
        lines = []
        for side in ("source", "target"):
            lines += [side + ": " + " | ".join(row) for row in self.servers.sql(side, "postgres", query, strict=False)]
        self.write("activity.txt", "\n".join(lines) + "\n")

    def standing(self):
        return self.servers.sql("target", self.a, "SELECT rule, key FROM pgrekey.quarantine WHERE status <> 'resolved' ORDER BY 1, 2")

    def ask(self, *arguments):
        """A command that the running engine answers. One whose session was cut off, or begins anew, is not there for a moment."""
        for _ in range(20):
            code = self.engine.command(*arguments, timeout=330)
            self.engine.keep_going()
            if code != 3:
                break
            time.sleep(0.2)
        return code

    def retry(self):
        """Everything in quarantine is tried again until that helps nobody any more."""
        before = self.standing()
        for _ in range(6):
            if not before:
                return
            code = self.ask("quarantine", "retry", "--all", "--wait", "5min")
            if code not in (0, 6):
                raise Trouble("quarantine retry ended with exit code %d (the engine: %s)" % (code, self.engine.state()))
            after = self.standing()
            if after == before:
                return
            before = after
        raise Trouble("quarantine retry goes on for ever")

    def fresh(self):
        """The second target: the same mapping, a snapshot of the source as it is now."""
        engine = self.config("b", self.b)
        if engine.command("init", "--quiet") != 0:
            raise Trouble("init of the fresh target failed")
        code = engine.command("run", "--until-caught-up")
        if code != 0:
            raise Trouble("the fresh snapshot ended with exit code %d" % code)

    # --- after

    def end(self):
        for writer in self.writers + self.asked:
            if writer.poll() is None:
                writer.kill()
                writer.wait()
        if self.engine:
            self.engine.kill()

    def drop(self):
        servers = self.servers
        for slot in ("a_%d" % self.seed, "b_%d" % self.seed):
            for _ in range(100):
                left = servers.value("source", "postgres", "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s'" % slot)
                if left == "0":
                    break
                servers.sql("source", "postgres", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                            "WHERE slot_name = '%s'" % slot, strict=False)
                time.sleep(0.05)
        servers.sql("source", "postgres", "DROP DATABASE IF EXISTS %s WITH (FORCE)" % self.source)
        for each in (self.a, self.b):
            servers.sql("target", "postgres", "DROP DATABASE IF EXISTS %s WITH (FORCE)" % each)
