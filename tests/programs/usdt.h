/* Usdt markers whose operands the compiler chooses, as it does for SystemTap's sys/sdt.h: a register, memory or a constant. */
#ifndef BTC_USDT_H
#define BTC_USDT_H

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

/* The sign is the note's: %n prints the negative. */
#define SIZE(x) ((((__typeof__(x))-1) < (__typeof__(x))1 ? 1 : -1) * (int)sizeof(x))

#define NOTE(namespace, name, semaphore, arguments)                            \
    "990: nop\n"                                                               \
    ".pushsection .note.stapsdt,\"\",\"note\"\n"                               \
    ".balign 4\n"                                                              \
    ".4byte 992f-991f, 994f-993f, 3\n"                                         \
    "991: .asciz \"stapsdt\"\n"                                                \
    "992: .balign 4\n"                                                         \
    "993: .8byte 990b\n"                                                       \
    ".8byte _.stapsdt.base\n"                                                  \
    ".8byte " TEXT(semaphore) "\n"                                             \
    ".asciz \"" TEXT(namespace) "\"\n"                                         \
    ".asciz \"" TEXT(name) "\"\n"                                              \
    ".ascii \"" arguments "\"\n"                                               \
    ".byte 0\n"                                                                \
    "994: .balign 4\n"                                                         \
    ".popsection\n"                                                            \
    ".ifndef _.stapsdt.base\n"                                                 \
    ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"    \
    ".weak _.stapsdt.base\n"                                                   \
    ".hidden _.stapsdt.base\n"                                                 \
    "_.stapsdt.base: .space 1\n"                                               \
    ".size _.stapsdt.base, 1\n"                                                \
    ".popsection\n"                                                            \
    ".endif\n"

#define MARK3(namespace, name, semaphore, a, b, c)                             \
    __asm__ volatile(NOTE(namespace, name, semaphore,                          \
                          "%n[as]@%[av] %n[bs]@%[bv] %n[cs]@%[cv]")            \
                     :                                                         \
                     : [as] "n"(SIZE(a)), [av] "nor"(a), [bs] "n"(SIZE(b)),    \
                       [bv] "nor"(b), [cs] "n"(SIZE(c)), [cv] "nor"(c))

#endif
