// A few threads that share out the units of one phase after another. Knows no arithmetic.
//
// Made for machines that other programs use too. The leader never waits for a thread, only for units that a thread has
// taken: a helper that isn't running costs nothing, and one that is interrupted costs its unit at most. Helpers spin for
// some microseconds between phases, then yield, and sleep between frames. When the leader has waited for a large part of
// a frame (the cores are wanted elsewhere), the helpers rest for the next frames.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace duologue {

class Team {
   public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    void begin_frame();  // wake the helpers, unless they rest
    void end_frame();

    // Call work(unit) once for every unit in [0, units), in any order, on any thread; returns when all are done.
    template <class Work>
    void run(int units, const Work& work) {
        if (!helping_ || units < 2) {
            for (int i = 0; i < units; i++) work(i);
            return;
        }
        share(units, &work, [](const void* w, int unit) { (*static_cast<const Work*>(w))(unit); });
    }

    int threads() const { return static_cast<int>(helpers_.size()) + 1; }
    int64_t rested_frames() const { return rested_frames_; }
    double waited_seconds() const { return waited_seconds_; }

   private:
    using Call = void (*)(const void*, int);
    void share(int units, const void* work, Call call);
    bool claim(int* unit);
    void work_on_claims();
    void wait_for_units(int units);
    void help();

    std::vector<std::thread> helpers_;
    const void* work_ = nullptr;
    Call call_ = nullptr;
    uint64_t phase_ = 0;
    alignas(64) std::atomic<uint64_t> ticket_{0};  // phase (24 bits) | units (20) | next unit (20)
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<bool> awake_{false};
    std::atomic<bool> quit_{false};
    std::mutex mutex_;
    std::condition_variable wake_;

    bool helping_ = false;
    int rest_ = 0, rest_length_ = 0;  // frames the helpers still rest, and how long the last rest was
    double frame_start_ = 0.0, frame_wait_ = 0.0, waited_seconds_ = 0.0;
    int64_t rested_frames_ = 0;
};

double seconds_now();

}  // namespace duologue
