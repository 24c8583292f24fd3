// Keys and values of one conversation, in pages of 64 positions that conversations share until one of them writes.
// Knows shapes, but no arithmetic.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace duologue {

struct PageShape {
    int layers = 0, kv_heads = 0, padded_head = 0;
    bool bfloat16 = false;

    int64_t block_bytes() const { return static_cast<int64_t>(padded_head) * 64 * (bfloat16 ? 2 : 4); }
    int64_t keys(int layer, int head) const { return 64 + (static_cast<int64_t>(layer) * kv_heads + head) * 2 * block_bytes(); }
    int64_t values(int layer, int head) const { return keys(layer, head) + block_bytes(); }
    int64_t page_bytes() const { return 64 + static_cast<int64_t>(layers) * kv_heads * 2 * block_bytes(); }
};

class Cache {
   public:
    explicit Cache(const PageShape& shape) : shape_(shape) {}
    Cache(const Cache& other);  // shares every page
    ~Cache() { truncate(0); }
    Cache& operator=(const Cache&) = delete;

    int length() const { return length_; }
    const PageShape& shape() const { return shape_; }
    uint8_t* const* pages() const { return pages_.data(); }

    void truncate(int length);
    int extend(int positions);  // room for more, on pages that no other conversation sees; returns the first new slot
    int64_t own_bytes() const;  // of pages that nobody shares

   private:
    static std::atomic<int>& users(uint8_t* page) { return *reinterpret_cast<std::atomic<int>*>(page); }
    uint8_t* new_page() const;
    static void release(uint8_t* page);

    PageShape shape_;
    std::vector<uint8_t*> pages_;  // each starts with 64 bytes that hold the number of its users
    int length_ = 0;
};

}  // namespace duologue
