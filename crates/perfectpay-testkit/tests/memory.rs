//! The memory store passes the suite.

use std::sync::Arc;

use perfectpay_memory::MemoryStore;

fn open() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

perfectpay_testkit::conformance!(open);
