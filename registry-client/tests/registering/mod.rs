//! Registrations: what they leave behind (`leaks`), what they live through (`recovery`), who gets the key
//! (`fencing`).

mod fencing;
mod leaks;
mod recovery;
