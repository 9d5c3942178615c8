// A C program whose functions take structs by value, for user probes: `values [N]` makes N calls of each.
#include <stdint.h>
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

struct table {
    int cells[2][2];
    unsigned char bytes[2][3][2];
};

struct letters {
    unsigned char bytes[4];
    uint8_t typed[4];
    signed char numbers[4];
    char text[4];
};

struct floats {
    float factor;
    long count;
    double weights[2];
};

enum sizes { SMALL = 200, BIG = 0x80000000u };
enum signs { MINUS = -2, PLUS = 200 };

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

CALLED long value_tables(struct table by_value, struct table *t) {
    return by_value.cells[0][0] + t->cells[1][1] + t->bytes[0][0][0];
}

CALLED long value_letters(struct letters by_value, struct letters *l, unsigned char c) {
    return by_value.text[0] + l->text[1] + c;
}

CALLED long value_enums(enum sizes size, enum signs sign, enum sizes *to) {
    return size + sign + *to;
}

CALLED long value_floats(struct floats *f) {
    return f->count;
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
        struct table t = {{{1, 2}, {3, -4}}, {{{1, 2}, {3, 4}, {5, 6}}, {{7, 8}, {9, 10}, {11, 255}}}};
        sum += value_tables(t, &t);
        struct letters l = {{1, 2, 3, 4}, {5, 6, 7, 200}, {-1, 2, 3, 4}, "abc"};
        sum += value_letters(l, &l, 200);
        enum sizes size = SMALL;
        sum += value_enums(BIG, MINUS, &size);
        sum += value_floats(&(struct floats){1.5, 70, {2.5, 3.5}});
    }
    return sum == 42;
}
