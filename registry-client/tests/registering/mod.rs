//! Registrations: what they leave behind (`leaks`), what they live through (`recovery`), who gets the key
//! (`fencing`), what operators do (`removal`), many under one lease (`bulk`), a server around one
//! (`serving`), what they cost (`footprint`).

mod bulk;
mod fencing;
mod footprint;
mod leaks;
mod recovery;
mod removal;
mod serving;
