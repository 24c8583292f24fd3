// Threads that share units, for a sanitizer of threads: every unit once, every phase complete before the next, results whole.
#include <cstdio>
#include <vector>

#include "team.h"

using namespace duologue;

int main() {
    int wrong = 0;
    for (int threads = 1; threads <= 4; threads++) {
        Team team(threads);
        std::vector<int> seen(200), sums(200);  // plain memory: only the team's own order protects it
        for (int frame = 1; frame <= 60; frame++) {
            team.begin_frame(frame % 5 == 0 ? 0 : 1 + frame / 30);
            for (int phase = 0; phase < 40; phase++) {
                const int units = phase % 7 == 0 ? 1 : 3 + phase * 5 % 190;
                team.run(units, [&](int unit) { seen[unit]++; });
                team.run(units, [&](int unit) { sums[unit] = seen[units - 1 - unit]; });
                for (int unit = 0; unit < units; unit++) {
                    wrong += seen[unit] != 1 || sums[unit] != 1;
                    seen[unit] = 0;
                }
            }
            team.end_frame();
        }
    }
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
