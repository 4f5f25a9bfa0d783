//! Memory for what is read in large pieces and kept.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use memmap2::{Advice, MmapMut};

/// From how many bytes on a piece gets memory of its own from the kernel, in huge pages if it has any: one page fault
/// instead of 512, and fewer misses when records are looked up later.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeroed memory to be filled.
pub(super) enum Pages {
    Mapped(MmapMut),
    Heap(Vec<u8>),
}

impl Pages {
    pub(super) fn zeroed(len: usize) -> Self {
        if len < HUGE_PAGE_BYTES {
            return Self::Heap(vec![0; len]);
        }
        let Ok(memory) = MmapMut::map_anon(len) else { return Self::Heap(vec![0; len]) };
        // A kernel without them says so, and gives ordinary ones.
        drop(memory.advise(Advice::HugePage));
        Self::Mapped(memory)
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(memory) => memory,
            Self::Heap(memory) => memory,
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(memory) => memory,
            Self::Heap(memory) => memory,
        }
    }
}

impl From<Pages> for Bytes {
    fn from(pages: Pages) -> Self {
        match pages {
            Pages::Mapped(memory) => Self::from_owner(memory),
            Pages::Heap(memory) => memory.into(),
        }
    }
}
