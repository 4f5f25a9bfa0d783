//! Registrations: what they leave behind (`leaks`), what they live through (`recovery`), who gets the key
//! (`fencing`),
//! what they cost (`footprint`).

mod fencing;
mod footprint;
mod leaks;
mod recovery;
