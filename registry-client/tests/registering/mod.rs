//! Registrations: what they leave behind (`leaks`), also when the process ends
//! (`ends`), what they live through (`recovery`), who gets the key
//! (`fencing`), what operators do (`removal`), when it is shown
//! as up (`health`), many under one lease (`bulk`), a server around one
//! (`serving`), what they cost (`footprint`).

mod bulk;
mod ends;
mod fencing;
mod footprint;
mod health;
mod leaks;
mod recovery;
mod removal;
mod serving;
