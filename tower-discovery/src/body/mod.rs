//! The bodies that pass through the balancer.
//!
//! [`RequestBody`] can be sent a second time while little of it was read, which is what makes a refused
//! request repeatable; [`ResponseBody`] carries a request's load and deadline to the end of the answer.

mod request;
mod response;

pub use request::RequestBody;
pub use response::ResponseBody;
pub(crate) use response::Watched;
