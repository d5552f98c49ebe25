//! Text of `doorstep.toml` into a [`doorstep_model::Spec`], with every error at once, each at its place.
