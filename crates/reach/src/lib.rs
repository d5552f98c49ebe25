//! Interfaces, names on the local network, firewalls: how this computer can be reached.
