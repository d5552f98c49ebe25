//! Tunnels over ssh: an agent at anybody's sshd, and a gateway for anybody's `ssh -R`.
