//! Names: what they lead to as the world sees it, providers that can be told to change them, and names that follow this
//! computer's address.
