// What every function of the C interface does with exceptions: a number, and a message for this thread.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

#include "engine.h"

namespace duologue {

std::string& last_error();  // of this thread

enum Outcome { kDone = 0, kUnusable = 1, kNotFinite = 2, kFailed = 3 };

template <class Work>
int guarded(Work&& work) {
    try {
        work();
        return kDone;
    } catch (const NotFinite& error) {
        last_error() = error.what();
        return kNotFinite;
    } catch (const std::invalid_argument& error) {
        last_error() = error.what();
        return kUnusable;
    } catch (const std::exception& error) {
        last_error() = error.what();
        return kFailed;
    }
}

}  // namespace duologue
