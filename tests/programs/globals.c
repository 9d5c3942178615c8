// Variables of a program that may be loaded at any address, and a function that changes one.
int answer = 40;
char words[] = "some words";

__attribute__((noipa)) void called(void) {
    answer++;
}

int main(void) {
    called();
    called();
    return 0;
}
