"""The pair of clusters that all runs share, and psql on them. The clusters are those of tests/support/cluster.sh."""

import os
import subprocess

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def bash(script, *arguments):
    """A piece of bash behind cluster.sh; its output."""
    text = ". '%s/tests/support/cluster.sh'; %s" % (TOP, script)
    done = subprocess.run(["bash", "-euc", text, "property", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


class SqlError(Exception):
    pass


class Servers:
    """Source and target cluster below a directory of their own."""

    def __init__(self):
        self.dir = bash('cluster_temp_dir property')
        self.bin = bash('echo "$CLUSTER_BIN"')
        self.conninfo = {}

    def start(self):
        for side in ("source", "target"):
            self.conninfo[side] = bash('cluster_create "$1" && cluster_start "$1" && cluster_conninfo "$1" "@"',
                                       os.path.join(self.dir, side))
        # Every database of a run is a copy of this one.
        for side in ("source", "target"):
            self.sql(side, "template1", 'CREATE EXTENSION "uuid-ossp"')

    def stop(self):
        for side in ("source", "target"):
            bash('cluster_remove "$1"', os.path.join(self.dir, side))
        subprocess.run(["rm", "-rf", self.dir], check=True)

    def dsn(self, side, database):
        return self.conninfo[side].replace("dbname=@", "dbname=" + database)

    def restart(self, side, mode):
        bash('cluster_restart "$1" "$2"', os.path.join(self.dir, side), mode)

    def psql(self, side, database, *arguments):
        """The command line of a psql that says nothing but results, one column after the other by \\x1f."""
        return [os.path.join(self.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-d", self.dsn(side, database),
                *arguments]

    def sql(self, side, database, text, strict=True):
        """Runs a script, statement by statement; the rows of all its results, as lists of texts."""
        done = subprocess.run(self.psql(side, database, "-v", "ON_ERROR_STOP=1", "-f", "-"), input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        if done.returncode != 0:
            if not strict:
                return []
            raise SqlError("%s, %s: %s" % (side, database, done.stderr.strip()[:2000]))
        return [line.split("\x1f") for line in done.stdout.split("\n") if line]

    def value(self, side, database, text):
        rows = self.sql(side, database, text)
        return rows[0][0] if rows else None


def environment():
    return dict(os.environ, PGOPTIONS="-c client_min_messages=warning -c timezone=UTC")
