//! What operators ask of a server that serves: to give space back, and whether members hold the same.

mod defragment;
mod hash;
