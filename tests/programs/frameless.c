// A chain of calls for unwinders: main → outermost → middle → libc's qsort → compare → innermost, compiled without
// frame pointers. With an argument it sleeps so many milliseconds first, and does the chain once for each further one; made with
// EACH_MILLISECOND it does it 300 times, as often, from its start on.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int calls;

__attribute__((noinline)) int innermost(int a, int b) {
    calls = calls + 1;
    return a - b;
}

static __attribute__((noinline)) int compare(const void *a, const void *b) {
    int order = innermost(*(const int *)a, *(const int *)b);
    calls = calls + order;
    return order;
}

__attribute__((noinline)) int middle(int n) {
    // An array whose size is not known makes the function keep its frame in another register.
    volatile char room[n + 16];
    int numbers[2] = {n, n + 1};
    room[n] = 1;
    qsort(numbers, 2, sizeof numbers[0], compare);
    return numbers[0] + room[n];
}

__attribute__((noinline)) int outermost(int n) {
    int found = middle(n);
    calls = calls + found;
    return found;
}

static void on_signal(int number) {
    calls = calls + outermost(number);
}

int main(int count, char **words) {
#ifdef EACH_MILLISECOND
    for (int i = 0; i < 300; i++) {
        outermost(5);
        usleep(1000);
    }
    return 0;
#endif
    usleep(count > 1 ? atoi(words[1]) * 1000 : 0);
    int sum = 0;
    for (int i = 2; i < count; i++)
        sum += outermost(atoi(words[i]));
    // Once from a signal handler.
    if (count == 2) {
        signal(SIGUSR1, on_signal);
        raise(SIGUSR1);
    }
    return sum == -1;
}
