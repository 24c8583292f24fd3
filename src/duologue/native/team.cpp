// How the team shares units and when it rests; see team.h.
#include "team.h"

#include <algorithm>
#include <chrono>

namespace duologue {
namespace {

constexpr int kSpins = 3000;           // pauses before a waiting thread gives its core away: some tens of microseconds
constexpr double kWaitShare = 0.35;    // of a frame spent waiting: the cores are wanted elsewhere
constexpr int kFirstRest = 8, kLongestRest = 128;  // frames

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

constexpr uint64_t kField = (1u << 20) - 1;

}  // namespace

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Team::Team(int threads) {
    for (int i = 1; i < threads; i++) helpers_.emplace_back([this] { help(); });
}

Team::~Team() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        quit_ = true;
    }
    wake_.notify_all();
    for (auto& helper : helpers_) helper.join();
}

void Team::begin_frame() {
    if (helpers_.empty()) return;
    if (rest_ > 0) {
        rest_--;
        rested_frames_++;
        return;
    }
    helping_ = true;
    frame_start_ = seconds_now();
    frame_wait_ = 0.0;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        awake_ = true;
    }
    wake_.notify_all();
}

void Team::end_frame() {
    if (!helping_) return;
    helping_ = false;
    awake_ = false;
    waited_seconds_ += frame_wait_;
    if (frame_wait_ > kWaitShare * (seconds_now() - frame_start_)) {
        rest_length_ = std::clamp(rest_length_ * 2, kFirstRest, kLongestRest);
        rest_ = rest_length_;
    } else {
        rest_length_ /= 2;
    }
}

void Team::share(int units, const void* work, Call call) {
    work_ = work;
    call_ = call;
    done_.store(0, std::memory_order_relaxed);
    phase_ = (phase_ + 1) & 0xffffff;
    ticket_.store(phase_ << 40 | static_cast<uint64_t>(units) << 20, std::memory_order_release);
    work_on_claims();
    wait_for_units(units);
}

bool Team::claim(int* unit) {
    uint64_t seen = ticket_.load(std::memory_order_acquire);
    while ((seen & kField) < (seen >> 20 & kField)) {
        if (ticket_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
            *unit = static_cast<int>(seen & kField);
            return true;
        }
    }
    return false;
}

// work_ and call_ are read after the claim: the phase can't end, and they can't change, while a claimed unit is open.
void Team::work_on_claims() {
    int unit;
    while (claim(&unit)) {
        call_(work_, unit);
        done_.fetch_add(1, std::memory_order_release);
    }
}

void Team::wait_for_units(int units) {
    for (int spins = 0; spins < 50; spins++) {
        if (done_.load(std::memory_order_acquire) == units) return;
        pause();
    }
    const double start = seconds_now();
    for (int spins = 0; done_.load(std::memory_order_acquire) != units; spins++) {
        if (spins < kSpins) pause();
        else std::this_thread::yield();
    }
    frame_wait_ += seconds_now() - start;
}

void Team::help() {
    for (int idle = 0; !quit_.load(std::memory_order_relaxed); idle++) {
        const uint64_t before = ticket_.load(std::memory_order_relaxed);
        work_on_claims();
        if (ticket_.load(std::memory_order_relaxed) != before) idle = 0;
        if (idle < kSpins) {
            pause();
        } else if (awake_.load(std::memory_order_acquire)) {
            std::this_thread::yield();
        } else {
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [this] { return awake_.load() || quit_.load(); });
            idle = 0;
        }
    }
}

}  // namespace duologue
