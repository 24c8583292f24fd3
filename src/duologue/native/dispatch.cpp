// Which path this CPU can run. The choice is made once, when an engine is built.
#include <cstring>

#include "kernels.h"
#if defined(__linux__) && defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace duologue {
namespace {

bool runs_avx512vnni() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

bool runs_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // every CPU with both converts float16 too
#else
    return false;
#endif
}

bool runs_neon() {
#if defined(__linux__) && defined(__aarch64__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__APPLE__) && defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

}  // namespace

const Kernels* select_kernels(const char* name) {
    const bool any = strcmp(name, "auto") == 0;
    const struct {
        bool runs;
        const Kernels* kernels;
    } paths[] = {{runs_avx512vnni(), avx512vnni_kernels()},
                 {runs_avx2(), avx2_kernels()},
                 {runs_neon(), neon_kernels()},
                 {true, portable_kernels()}};
    for (const auto& path : paths)
        if (path.runs && path.kernels && (any || strcmp(name, path.kernels->name) == 0)) return path.kernels;
    return nullptr;
}

}  // namespace duologue
