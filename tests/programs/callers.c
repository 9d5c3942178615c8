// Callers for the lines of stacks: main → work → deep with mid inlined between, main → last → out → deep where a call is the
// last instruction, and a handler of a signal that interrupted a function at its first instruction. Sleeps so many
// milliseconds first.
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int calls;

__attribute__((noinline)) void deep(int n) {
    calls = calls + n + (getppid() < 0);
}

static inline __attribute__((always_inline)) void mid(int n) {
    deep(n);
    calls = calls + 1;
}

__attribute__((noinline)) void work(int n) {
    mid(n);
    calls = calls + 2;
}

__attribute__((noinline, noreturn)) static void out(int n) {
    deep(n);
    exit(0);
}

__attribute__((noinline, noreturn)) static void last(int n) {
    out(n);
}

__attribute__((naked, noinline)) static void faulty(void) {
    __asm__("ud2");
    __asm__("ret");
}

static void on_signal(int number, siginfo_t *about, void *context) {
    deep(number);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    calls = calls + (about != 0);
}

int main(int count, char **words) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    usleep(count > 1 ? atoi(words[1]) * 1000 : 0);
    work(3);
    sigaction(SIGILL, &action, 0);
    faulty();
    last(1);
}
