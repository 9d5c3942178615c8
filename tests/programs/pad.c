// A library in two builds: the same functions at other offsets (-DPADDING=n), and a struct of another layout (-DWIDE).
#ifdef PADDING
__attribute__((used, noinline)) long pad_before(long n) {
    for (int i = 0; i < PADDING; i++)
        n = n * 31 + i * n;
    return n;
}
#endif

struct pad_item {
#ifdef WIDE
    long before;
#endif
    int value;
};

__attribute__((noinline, noipa)) int pad_item(struct pad_item *item) {
    return item->value;
}

int pad_call(int n) {
    struct pad_item item = {.value = n};
    return pad_item(&item);
}
