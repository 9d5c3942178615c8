// A C program whose functions take structs by value, for user probes: `values [N]` makes N calls of each.
#include <stdlib.h>

struct small {
    int first, second;
};

struct medium {
    long first;
    unsigned low : 4, high : 12;
    char tag[4];
};

struct large {
    long words[4];
    const char *name;
};

struct mixed {
    double factor;
    long count;
};

#define CALLED __attribute__((noinline, noipa))

CALLED long value_small(int before, struct small s, int after) {
    return before + s.first + s.second + after;
}

CALLED long value_medium(struct medium m, int after) {
    return m.first + m.low + m.high + after;
}

CALLED long value_large(int before, struct large l, int after) {
    return before + l.words[0] + l.words[3] + after;
}

CALLED long value_full(long a, long b, long c, long d, long e, struct medium m, long f) {
    return a + b + c + d + e + m.first + f;
}

CALLED long value_mixed(struct mixed m, int after) {
    return m.count + (long)m.factor + after;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1;
    long sum = 0;
    for (int i = 0; i < n; i++) {
        sum += value_small(1, (struct small){-2, 3 + i}, 4);
        sum += value_medium((struct medium){70000000000L + i, 9, 1000, "tag"}, 5);
        sum += value_large(6, (struct large){{10, 20, 30, 40 + i}, "large"}, 7);
        sum += value_full(1, 2, 3, 4, 5, (struct medium){80 + i, 1, 2, "xyz"}, 9);
        sum += value_mixed((struct mixed){2.5, 11}, 12);
    }
    return sum == 42;
}
