//! Pages: the header, the elements behind it, then the keys and values of the elements.
//!
//! All numbers are little-endian. A node that is larger than a page takes the following ones too, as its overflow.

/// Bytes of a page. Readers take the size from the image, so it need not be that of their system.
pub(super) const PAGE_BYTES: usize = 4096;
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const ELEMENT_BYTES: usize = 16;

/// The entry of a leaf is a bucket.
pub(super) const IS_BUCKET: u32 = 1;

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Of a tree's inner node.
    Branch,
    /// Of a node with entries.
    Leaf,
    /// Where the roots are.
    Meta,
    /// Which pages are free.
    Freelist,
}

impl PageKind {
    pub(super) const fn flags(self) -> u16 {
        match self {
            Self::Branch => 0x01,
            Self::Leaf => 0x02,
            Self::Meta => 0x04,
            Self::Freelist => 0x10,
        }
    }
}

/// What an element of a node leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A value, in a leaf.
    Value,
    /// A bucket, in a leaf.
    Bucket,
    /// A page one level below, in a branch.
    Child(u64),
}

#[derive(Debug, Clone, Copy)]
struct Element {
    target: Target,
    key_bytes: usize,
    value_bytes: usize,
}

/// A branch or leaf page that is being filled.
#[derive(Debug)]
pub(super) struct OpenPage {
    kind: PageKind,
    elements: Vec<Element>,
    /// Keys and values, each value behind its key.
    data: Vec<u8>,
}

impl OpenPage {
    pub(super) const fn new(kind: PageKind) -> Self {
        Self { kind, elements: Vec::new(), data: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether one more entry of so many bytes leaves it within a page.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.used_bytes() + ELEMENT_BYTES + bytes <= PAGE_BYTES
    }

    pub(super) fn push(&mut self, target: Target, key: &[u8], value: &[u8]) {
        debug_assert!(!key.is_empty(), "bbolt has no empty keys");
        debug_assert!(self.last_key().is_none_or(|last| last < key), "keys come in their order, each once");
        self.elements.push(Element { target, key_bytes: key.len(), value_bytes: value.len() });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    /// The key by which the level above finds the page.
    pub(super) fn first_key(&self) -> Option<&[u8]> {
        self.elements.first().map(|first| &self.data[..first.key_bytes])
    }

    fn last_key(&self) -> Option<&[u8]> {
        let last = self.elements.last()?;
        let begin = self.data.len() - last.value_bytes - last.key_bytes;
        Some(&self.data[begin..begin + last.key_bytes])
    }

    /// Moves the last element into a page of its own; an empty one has none to move.
    pub(super) fn split_last(&mut self) -> Self {
        let mut begun = Self::new(self.kind);
        if let Some(last) = self.elements.pop() {
            begun.data = self.data.split_off(self.data.len() - last.key_bytes - last.value_bytes);
            begun.elements.push(last);
        }
        begun
    }

    pub(super) fn clear(&mut self) {
        self.elements.clear();
        self.data.clear();
    }

    /// How many pages it takes.
    pub(super) fn pages(&self) -> usize {
        self.used_bytes().div_ceil(PAGE_BYTES)
    }

    fn used_bytes(&self) -> usize {
        HEADER_BYTES + self.elements.len() * ELEMENT_BYTES + self.data.len()
    }

    /// Appends the pages to `out`, the first of which is number `id`.
    pub(super) fn render(&self, id: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        let count =
            u16::try_from(self.elements.len()).expect("a page that is not full has room for no 65,536 elements");
        append_header(id, self.kind, count, self.pages(), out);
        let elements_bytes = self.elements.len() * ELEMENT_BYTES;
        let mut offset = 0;
        for (number, element) in self.elements.iter().enumerate() {
            // Positions count from the element itself.
            let position = elements_bytes - number * ELEMENT_BYTES + offset;
            element.append(position, out);
            offset += element.key_bytes + element.value_bytes;
        }
        out.extend_from_slice(&self.data);
        out.resize(begin + self.pages() * PAGE_BYTES, 0);
    }
}

impl Element {
    fn append(&self, position: usize, out: &mut Vec<u8>) {
        let numbers = |numbers: &[u32], out: &mut Vec<u8>| {
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        };
        let [position, key_bytes, value_bytes] = [position, self.key_bytes, self.value_bytes].map(length);
        match self.target {
            Target::Value => numbers(&[0, position, key_bytes, value_bytes], out),
            Target::Bucket => numbers(&[IS_BUCKET, position, key_bytes, value_bytes], out),
            Target::Child(id) => {
                numbers(&[position, key_bytes], out);
                out.extend_from_slice(&id.to_le_bytes());
            }
        }
    }
}

/// Appends a page of another kind than a node, with what it holds.
pub(super) fn append_page(id: u64, kind: PageKind, body: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    append_header(id, kind, 0, 1, out);
    out.extend_from_slice(body);
    out.resize(begin + PAGE_BYTES, 0);
}

fn append_header(id: u64, kind: PageKind, count: u16, pages: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&kind.flags().to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(length(pages) - 1).to_le_bytes());
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an entry is far below 4 GiB")
}
