//! Registrations: what they leave behind (`leaks`), what they live through (`recovery`), who gets the key
//! (`fencing`), what operators do (`removal`), when it is shown
//! as up (`health`), many under one lease (`bulk`), a server around one
//! (`serving`), what they cost (`footprint`).

mod bulk;
mod fencing;
mod footprint;
mod health;
mod leaks;
mod recovery;
mod removal;
mod serving;
