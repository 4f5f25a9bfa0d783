//! A B+tree out of sorted entries: each level has one page that is being filled, and a page that is full becomes a child
//! of the level above. So it takes the memory of as many pages as it has levels.

use super::image::Pages;
use super::page::{OpenPage, PageKind, Target};

/// A branch page takes so many children, however long their keys: it can give one away and has two left.
const CHILDREN_MIN: usize = 3;

/// A tree that is being written.
#[derive(Debug)]
pub(super) struct Tree {
    /// The leaf first.
    levels: Vec<OpenPage>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { levels: vec![OpenPage::new(PageKind::Leaf)] }
    }

    /// Adds an entry behind all others.
    pub(super) fn push(&mut self, target: Target, key: &[u8], value: &[u8], pages: &mut Pages) {
        if self.levels[0].len() > 0 && !self.levels[0].fits(key.len() + value.len()) {
            let mut full = std::mem::replace(&mut self.levels[0], OpenPage::new(PageKind::Leaf));
            self.end_page(0, &full, pages);
            // Its memory serves for the next.
            full.clear();
            self.levels[0] = full;
        }
        self.levels[0].push(target, key, value);
    }

    /// Writes what is left, and tells the number of the root's page.
    pub(super) fn finish(mut self, pages: &mut Pages) -> u64 {
        let mut level = 0;
        // A page that ends may add a level.
        while level + 1 < self.levels.len() {
            let last = std::mem::replace(&mut self.levels[level], OpenPage::new(PageKind::Leaf));
            self.end_page(level, &last, pages);
            level += 1;
        }
        pages.add(&self.levels[level])
    }

    /// Writes a page of a level and tells the level above.
    fn end_page(&mut self, level: usize, page: &OpenPage, pages: &mut Pages) {
        let id = pages.add(page);
        let key = page.first_key().expect("only the root of an empty tree has no entry, and it is nobody's child");
        self.add_child(level + 1, key, id, pages);
    }

    fn add_child(&mut self, level: usize, key: &[u8], id: u64, pages: &mut Pages) {
        if level == self.levels.len() {
            self.levels.push(OpenPage::new(PageKind::Branch));
        }
        let page = &mut self.levels[level];
        if page.len() >= CHILDREN_MIN && !page.fits(key.len()) {
            // The last child goes along, so that the next page has two, be this the last of all.
            let next = page.split_last();
            let full = std::mem::replace(page, next);
            self.end_page(level, &full, pages);
        }
        self.levels[level].push(Target::Child(id), key, &[]);
    }
}
