// A counter that others can sleep on until it moves. Knows no work.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#include <mutex>
#endif

namespace duologue {

class Bell {
   public:
    uint32_t count() const { return count_.load(); }

    // Move on by one; costs a system call only while somebody sleeps.
    void ring() {
#if defined(__linux__)
        count_.fetch_add(1);
        if (sleepers_.load() > 0) syscall(SYS_futex, &count_, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
#else
        std::lock_guard<std::mutex> lock(mutex_);
        count_.fetch_add(1);
        if (sleepers_.load() > 0) moved_.notify_all();
#endif
    }

    // Sleep while the count is `seen`; may return early.
    void sleep(uint32_t seen) {
        sleepers_.fetch_add(1);  // before the count is looked at again: who rings later sees the sleeper
#if defined(__linux__)
        syscall(SYS_futex, &count_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
        std::unique_lock<std::mutex> lock(mutex_);
        moved_.wait(lock, [&] { return count_.load() != seen; });
#endif
        sleepers_.fetch_sub(1);
    }

   private:
    std::atomic<uint32_t> count_{0};
    std::atomic<int> sleepers_{0};
#if !defined(__linux__)
    std::mutex mutex_;
    std::condition_variable moved_;
#endif
};

}  // namespace duologue
