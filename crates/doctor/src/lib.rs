//! Walks the road that a visitor's packets take to this computer, hop by hop, and says what is broken, whose side it is on and
//! what mends it.
