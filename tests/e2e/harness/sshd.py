"""A stock sshd on one of the world's hosts, and a key that it lets in."""

import os
import shutil
import subprocess

from .world import PUBLIC

PORT = 2200


class Sshd:
    def __init__(self, host, user_folder, gateway_ports="no", more=""):
        self.host = host
        self.folder = host.folder / "sshd"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.address = PUBLIC[host.name]
        make_key(self.folder / "host")
        self.keys = self.folder / "authorized_keys"
        self.keys.touch()
        host.user("friend", host.folder / "friend")
        (self.folder / "sshd_config").write_text(
            f"Port {PORT}\nListenAddress {self.address}\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.keys}\nPidFile none\n"
            f"UsePAM no\nStrictModes no\nGatewayPorts {gateway_ports}\n{more}\n"
        )
        self.program = None
        self.start()
        self.let_in(user_folder)

    def start(self):
        host = self.host
        host.run("mkdir", "-p", "/run/sshd")
        self.program = host.start(shutil.which("sshd", path="/usr/sbin:/sbin"), "-D", "-e", "-f", self.folder / "sshd_config")
        self.program.wait_for("Server listening")

    def let_in(self, folder):
        """Makes a key in `folder`/.ssh, with the settings and known hosts that make `ssh vps` work there."""
        ssh = folder / ".ssh"
        ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
        public = make_key(ssh / "id_ed25519")
        with open(self.keys, "a") as keys:
            keys.write(public)
        host_key = (self.folder / "host.pub").read_text().split()
        (ssh / "known_hosts").write_text(f"[{self.address}]:{PORT} {host_key[0]} {host_key[1]}\n")
        (ssh / "config").write_text(settings(ssh, self.address, PORT, "friend"))
        give_away(ssh)
        return ssh


def settings(ssh, address, port, user, name="vps"):
    """A section of ssh_config(5)."""
    return (
        f"Host {name}\n  HostName {address}\n  Port {port}\n  User {user}\n  IdentityFile {ssh}/id_ed25519\n"
        f"  UserKnownHostsFile {ssh}/known_hosts\n  IdentitiesOnly yes\n"
    )


def give_away(folder):
    """To whoever has the folder that it is in."""
    owner = folder.parent.stat()
    for path in [folder, *folder.iterdir()]:
        os.chown(path, owner.st_uid, owner.st_gid)


def make_key(file):
    """Gives the public key's line."""
    if not file.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_name(f"{file.name}.pub").read_text()
