//! Starts and confines processes.
