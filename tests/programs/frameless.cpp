// The same for C++: main → a virtual method → std::sort's order → a library loaded at run time → a landing pad of a
// caught exception → innermost, compiled without frame pointers. `frameless-cpp MS` sleeps so many milliseconds first,
// and again once the library is there.
#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>
#include <unistd.h>

#define CALLED __attribute__((noinline, noipa))

using Through = int (*)(int (*)(int), int);

static Through through;

extern "C" CALLED int innermost(int n) { return n + 1; }

CALLED static int caught(int n) {
    try {
        if (n > 0)
            throw std::runtime_error("thrown");
    } catch (const std::runtime_error &error) {
        return innermost(n) + error.what()[0];
    }
    return n;
}

struct Work {
    virtual ~Work() = default;
    virtual int run(int n) = 0;
};

struct Sorting : Work {
    CALLED int run(int n) override {
        int numbers[2] = {n, n + 1};
        std::sort(numbers, numbers + 2, [](int a, int b) CALLED { return through(caught, a) < b; });
        return numbers[0];
    }
};

int main(int count, char **words) {
    int pause = count > 1 ? atoi(words[1]) * 1000 : 0;
    usleep(pause);
    void *library = dlopen("./p/libthrough.so", RTLD_NOW);
    if (!library)
        return 1;
    usleep(pause);
    through = reinterpret_cast<Through>(dlsym(library, "through"));
    Work *work = new Sorting;
    int found = work->run(count);
    delete work;
    return found == -1;
}
