/* A shared library with a marker of its own, in as many places as it is inlined, and one behind a semaphore. */
#include "usdt.h"

__attribute__((section(".probes"), visibility("hidden"))) volatile unsigned short library_semaphore;

static inline __attribute__((always_inline)) void step(long number, short half, unsigned char byte)
{
    MARK3(library, step, 0, number, half, byte);
}

/* Four calls: of constants, of registers and of memory. */
long library_steps(long number)
{
    volatile short half = (short)-number;
    volatile unsigned char bytes[40];
    bytes[number % 40] = 250;
    step(1, -2, 3);
    step(number, (short)(number * -3), (unsigned char)(200 + number));
    step(number + half, half, bytes[number % 40]);
    __asm__ volatile("" : : : "memory");
    step(number, half, 255);
    return number + half;
}

int library_guarded(long number)
{
    if (!library_semaphore)
        return 0;
    MARK3(library, guarded, library_semaphore, number, (int)-number, (unsigned short)library_semaphore);
    return 1;
}
