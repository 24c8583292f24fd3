// How the team shares units and when it rests; see team.h.
#include "team.h"

#include <algorithm>
#include <chrono>

namespace duologue {
namespace {

constexpr double kSpinSeconds = 40e-6;  // of waiting, before a thread gives its core away
constexpr int kSpinsPerLook = 16;       // pauses between two looks at the clock
constexpr double kWaitShare = 0.35;     // of a frame spent waiting: perhaps one thread alone is quicker
constexpr double kNewest = 0.3;         // what the newest frame counts in the usual time of one
constexpr int kTrialFrames = 4, kFirstRest = 8, kLongestRest = 128, kPatience = 64;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

constexpr uint64_t kField = (1u << 20) - 1;

// True as soon as `ready` is, false after kSpinSeconds.
template <class Ready>
bool spin_until(const Ready& ready) {
    const double start = seconds_now();
    do {
        for (int i = 0; i < kSpinsPerLook; i++) {
            if (ready()) return true;
            pause();
        }
    } while (seconds_now() - start < kSpinSeconds);
    return ready();
}

}  // namespace

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Team::Team(int threads) {
    for (int i = 1; i < threads; i++) helpers_.emplace_back([this] { help(); });
}

Team::~Team() {
    quit_ = true;
    phases_.ring();
    for (auto& helper : helpers_) helper.join();
}

void Team::begin_frame(int kind) {
    if (helpers_.empty()) return;
    kind_ = kind;
    helping_ = rest_ == 0 || kind == 0;
    if (helping_) {
        awake_ = true;
        phases_.ring();
    }
    frame_start_ = seconds_now();
    frame_wait_ = 0.0;
}

void Team::end_frame() {
    if (helpers_.empty()) return;
    waited_seconds_ += frame_wait_;
    if (kind_ != 0) judge(seconds_now() - frame_start_);
    helping_ = false;
    awake_ = false;
}

// After a frame: go on like this, try it alone, or come back from that.
void Team::judge(double seconds) {
    if (kind_ != judged_kind_) {  // another number of rows: nothing to compare with
        judged_kind_ = kind_;
        rest_ = rest_length_ = patience_ = 0;
        shared_seconds_ = 0.0;
        return;
    }
    if (helping_) {
        shared_seconds_ = shared_seconds_ == 0.0 ? seconds : (1.0 - kNewest) * shared_seconds_ + kNewest * seconds;
        if (patience_ > 0) patience_--;
        if (patience_ > 0 || frame_wait_ < kWaitShare * seconds) return;
        rest_ = kTrialFrames;
        alone_seconds_ = 0.0;
        alone_frames_ = 0;
        return;
    }
    rested_frames_++;
    alone_seconds_ += seconds;
    alone_frames_++;
    if (--rest_ > 0) return;
    if (alone_seconds_ < alone_frames_ * shared_seconds_) {
        rest_length_ = std::clamp(rest_length_ * 2, kFirstRest, kLongestRest);
        if (alone_frames_ < rest_length_) rest_ = rest_length_ - alone_frames_;
        return;
    }
    rest_length_ = 0;
    patience_ = kPatience;
}

void Team::share(int units, const void* work, Call call) {
    work_ = work;
    call_ = call;
    wanted_ += static_cast<uint32_t>(units);
    phase_ = (phase_ + 1) & 0xffffff;
    ticket_.store(phase_ << 40 | static_cast<uint64_t>(units) << 20, std::memory_order_release);
    work_on_claims();
    wait_for_units();
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
bool Team::work_on_claims() {
    int unit;
    bool any = false;
    for (; claim(&unit); any = true) {
        call_(work_, unit);
        done_.fetch_add(1, std::memory_order_release);
    }
    return any;
}

void Team::wait_for_units() {
    const auto all_done = [this] { return done_.load(std::memory_order_acquire) == wanted_; };
    if (all_done()) return;
    const double start = seconds_now();
    if (!spin_until(all_done))
        while (!all_done()) std::this_thread::yield();
    frame_wait_ += seconds_now() - start;
}

void Team::help() {
    while (!quit_.load(std::memory_order_relaxed)) {
        const uint32_t seen = phases_.count();
        if (work_on_claims()) continue;
        const uint64_t before = ticket_.load(std::memory_order_relaxed);
        const auto moved = [&] { return ticket_.load(std::memory_order_relaxed) != before || quit_.load(); };
        if (spin_until(moved)) continue;
        if (awake_.load()) std::this_thread::yield();
        else phases_.sleep(seen);  // a frame that began meanwhile has rung
    }
}

}  // namespace duologue
