// Sharing, copying on write, and forgetting; see cache.h.
#include "cache.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels.h"

namespace duologue {

Cache::Cache(const Cache& other) : shape_(other.shape_), pages_(other.pages_), length_(other.length_) {
    for (uint8_t* page : pages_) users(page).fetch_add(1, std::memory_order_relaxed);
}

uint8_t* Cache::new_page() const {
    const size_t bytes = (static_cast<size_t>(shape_.page_bytes()) + 63) / 64 * 64;
    void* memory = std::aligned_alloc(64, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    memset(memory, 0, bytes);
    new (memory) std::atomic<int>(1);
    return static_cast<uint8_t*>(memory);
}

void Cache::release(uint8_t* page) {
    if (users(page).fetch_sub(1, std::memory_order_acq_rel) == 1) std::free(page);
}

void Cache::truncate(int length) {
    if (length < length_) length_ = length;
    const size_t needed = (length_ + kPagePositions - 1) / kPagePositions;
    for (; pages_.size() > needed; pages_.pop_back()) release(pages_.back());
}

int Cache::extend(int positions) {
    const int first = length_;
    const size_t needed = (first + positions + kPagePositions - 1) / kPagePositions;
    pages_.reserve(needed);
    if (first % kPagePositions != 0) {  // the page that is written next may be shared
        uint8_t*& page = pages_[first / kPagePositions];
        if (users(page).load(std::memory_order_acquire) > 1) {
            uint8_t* own = new_page();
            memcpy(own + 64, page + 64, shape_.page_bytes() - 64);
            release(page);
            page = own;
        }
    }
    while (pages_.size() < needed) pages_.push_back(new_page());
    length_ += positions;
    return first;
}

int64_t Cache::own_bytes() const {
    int64_t total = 0;
    for (uint8_t* page : pages_)
        if (users(page).load(std::memory_order_relaxed) == 1) total += shape_.page_bytes();
    return total;
}

}  // namespace duologue
