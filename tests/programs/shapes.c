// A C program with a known number of calls, for user probes: `shapes [N]` makes N of each.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum colour { RED, GREEN = 5 };

struct point {
    int x;
    long y;
    unsigned low : 3, high : 5;
    char name[8];
    enum colour colour;
    const struct point *next;
};

struct big {
    long words[4];
};

struct pair {
    int first, second;
};

#define CALLED __attribute__((noinline, noipa))

CALLED long shape_sum(const struct point *p, int n, unsigned char c) {
    return p->x + p->y + n + c;
}

CALLED int shape_scale(int from, double factor, unsigned long by) {
    return from + (int)factor + (int)by;
}

CALLED int shape_many(int a, int b, int c, int d, int e, int f, int g, long h) {
    return a + b + c + d + e + f + g + (int)h;
}

CALLED struct big shape_big(int seed, long other) {
    struct big b = {{seed, other, 0, 0}};
    return b;
}

CALLED int shape_pair(struct pair by_value, int after) {
    return by_value.first + by_value.second + after;
}

CALLED static int shape_hidden(int n) {
    int doubled = n * 2; // the doubled line
    if (doubled > 4) // the branch line
        doubled += 1; // the taken line
    return doubled;
}

extern int pad_call(int n);

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1;
    if (argc > 2)
        usleep(atoi(argv[2]) * 1000);
    struct point last = {7, 70, 1, 2, "last", RED, NULL};
    struct point first = {1, 10, 3, 17, "first", GREEN, &last};
    long sum = 0;
    for (int i = 0; i < n; i++) {
        first.x = i;
        sum += shape_sum(&first, -i, 200);
        sum += shape_scale(-i, 2.5, i);
        sum += shape_many(1, 2, 3, 4, 5, 6, -7, 8000000000L + i);
        sum += shape_big(i, 9).words[0];
        sum += shape_pair((struct pair){1, 2}, 33);
        sum += shape_hidden(i);
#ifdef PAD
        sum += pad_call(i);
#endif
    }
    return sum == 42;
}
