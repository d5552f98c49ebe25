//! Looks at a folder and says what is in it.
