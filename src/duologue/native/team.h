// A few threads that share out the units of one phase after another. Knows no arithmetic.
//
// Made for machines that other programs use too. The leader never waits for a thread, only for units that a thread has
// taken: a helper that isn't running costs nothing, and one that is interrupted costs its unit at most. Who waits within a frame
// spins for some tens of microseconds, then yields: beside others that never rest, a helper that sleeps is served so late that
// the leader does everything. Between frames helpers sleep. When the leader has waited for a large part of a frame, a few
// frames are tried without helpers, and the quicker way is kept for a while.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "bell.h"

namespace duologue {

class Team {
   public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    // Around the phases of one frame. Frames of the same `kind` (not 0) take about as long as each other.
    void begin_frame(int kind);
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
    bool work_on_claims();
    void wait_for_units();
    void help();
    void judge(double seconds);

    std::vector<std::thread> helpers_;
    const void* work_ = nullptr;
    Call call_ = nullptr;
    uint64_t phase_ = 0;
    alignas(64) std::atomic<uint64_t> ticket_{0};  // phase (24 bits) | units (20) | next unit (20)
    alignas(64) Bell phases_;
    alignas(64) std::atomic<uint32_t> done_{0};  // units, ever
    std::atomic<bool> awake_{false};             // a frame is being spoken
    uint32_t wanted_ = 0;    // of done_
    std::atomic<bool> quit_{false};

    bool helping_ = false;
    int kind_ = 0, judged_kind_ = 0;
    int rest_ = 0, rest_length_ = 0, patience_ = 0;  // frames: still to rest, the last rest, until the next trial
    double shared_seconds_ = 0.0, alone_seconds_ = 0.0;  // a frame's
    int alone_frames_ = 0;
    double frame_start_ = 0.0, frame_wait_ = 0.0, waited_seconds_ = 0.0;
    int64_t rested_frames_ = 0;
};

double seconds_now();

}  // namespace duologue
