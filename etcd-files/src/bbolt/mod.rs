//! The file format of etcd's database, bbolt: an image of buckets with sorted keys, made in one go and in order, and read the
//! same way.
//!
//! [`ImageWriter`] takes buckets and their entries sorted, and gives pages in the order of the file, so an image of any
//! size is made in the memory of a few pages. The first pages say how many follow and where the root is, so the
//! same entries are fed twice: once to be measured ([`Layout`]), once to be written.
//! It is pure: no file, lock or thread. [`Image`] reads one from a file, be it written here or by bbolt itself, whose pages are in any
//! order and partly free. What the buckets mean, [`schema`](crate::schema) knows.
//!
//! What always holds:
//! - Every page from the third on is a node of exactly one tree, or the freelist, which is empty: there is no garbage.
//! - A branch page has two children at least. bbolt stops at one with a single child, once that has lost its keys.
//! - The same entries give the same bytes, measured or written.

mod image;
mod meta;
mod node;
mod page;
mod reader;
mod tree;

#[cfg(test)]
mod reader_tests;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use image::{ImageWriter, Layout};
pub use reader::{Entries, Entry, Image, ImageError};
